"""Phrases grown to referring expressions: each rule on captions that we wrote, and what holds for any caption."""

from __future__ import annotations

import random
import re

import pytest

from stages.phrases.expressions import LONGEST, expressions, outermost
from stages.phrases.spans import NounPhrase


def parsed(text: str) -> tuple[str, list[NounPhrase]]:
    """A caption from its text with every phrase in brackets."""
    caption, phrases = "", []
    for piece in re.split(r"(\[[^]]*\])", text):
        if piece.startswith("["):
            words = piece[1:-1]
            phrases.append(NounPhrase(len(caption), len(caption) + len(words), words, words.split()[-1], words))
        caption += piece.strip("[]")
    return caption, phrases


def grown(text: str) -> list[str]:
    """The texts of the expressions that no other one contains."""
    caption, phrases = parsed(text)
    return [caption[start:end] for start, end in outermost(expressions(caption, phrases))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # What follows a noun.
        ("[a dog] in [a field] of [flowers]", ["a dog in a field of flowers"]),
        ("[a dog] running", ["a dog running"]),
        ("[a wall] covered in [snow]", ["a wall covered in snow"]),
        ("[a cup] painted by [a child]", ["a cup painted by a child"]),
        ("[a man] who is reaching [his hand] out", ["a man who is reaching his hand out"]),
        ("[a kite] that [a girl] holds", ["a kite that a girl holds"]),
        ("thanks to [a friend], who gave [books] to [a school]", ["a friend, who gave books to a school"]),
        ("[plans] to build [houses]", ["plans to build houses"]),
        ("[rooms] available for [guests]", ["rooms available for guests"]),
        ("[tips] for growing [roses]", ["tips for growing roses"]),
        ("[a ball] with [dots] on it", ["a ball with dots on it"]),
        ("[a house] next to [a lake]", ["a house next to a lake"]),
        ("[rocks] overlooking [the sea] below", ["rocks overlooking the sea below"]),
        # Lists inside of it, and conjuncts.
        ("[a room] with [plants] and [pots] on [the wall]", ["a room with plants and pots on the wall"]),
        ("[a chimp] smiling and chewing on [seeds]", ["a chimp smiling and chewing on seeds"]),
        ("[a man] and [a woman] in [a park]", ["a man", "a woman", "a park"]),
        ("[a look] with [shirts], [a coat], and [skirts]", ["a look with shirts, a coat, and skirts"]),
        ("[a look] with [shirts], [a coat]", ["a look with shirts", "a coat"]),
        ("[an actor] tattooed below [the nape] of [his neck]", ["an actor tattooed below the nape of his neck"]),
        ("[a dog] jumped over [a fence]", ["a dog", "a fence"]),
        ("[a hose] ready to tackle [a fire]", ["a hose ready to tackle a fire"]),
        ("[a friend] who gave $1,000.50 in [supplies]", ["a friend who gave $1,000.50 in supplies"]),
        # Where it ends.
        ("[a man] in [a hat] walks [a dog]", ["a man in a hat", "a dog"]),
        ("[a dog] with [ears] raised is barking", ["a dog with ears", ]),
        ("[a boat] . [a lake] in [fog]", ["a boat", "a lake in fog"]),
        ("[a boat], [a lake]", ["a boat", "a lake"]),
        # Behind a finite verb.
        ("[a man] rides [a bike] on [the street]", ["a man", "a bike", "the street"]),
        ("[a girl] looks at [an expanse] of [snow]", ["a girl", "an expanse of snow"]),
        ("[a man] is hugging [a girl] wearing [a hat]", ["a man", "a girl wearing a hat"]),
        ("[a man] sits on [a bench] looking at [birds]", ["a man", "a bench", "birds"]),
        ("[a woman] kisses [a man] in [a red shirt]", ["a woman", "a man in a red shirt"]),
        ("[a pair] sits on [a pier] by [the sea]", ["a pair", "a pier by the sea"]),
        ("[a cat] is hit in [the face] by [a dog]", ["a cat", "the face", "a dog"]),
        ("[a pair] stands in front of [a wall] with [drawings] on it", ["a pair", "a wall with drawings on it"]),
        ("[a boy] jumps into [a pool] holding [a ball]", ["a boy", "a pool", "a ball"]),
        ("[a lynx] is [a cat] native to [forests]", ["a lynx", "a cat native to forests"]),
        ("[a boy] plays while [a girl] in [pink] watches", ["a boy", "a girl in pink"]),
        ("[a dog] jumps at [a man] holding [a stick] in [his hand]", ["a dog", "a man holding a stick in his hand"]),
    ],
)  # fmt: skip
def test_what_a_phrase_grows_to(text: str, expected: list[str]) -> None:
    assert grown(text) == expected


def test_every_phrase_has_an_expression_that_begins_where_it_does() -> None:
    """Also for captions of words thrown together, with marks, numbers and letters that are none of English."""
    rng = random.Random(0)
    vocabulary = [
        "[a dog]",
        "[2 cats]",
        "in",
        "and",
        "to",
        "who",
        "is",
        "running",
        "covered",
        ",",
        ".",
        "'s",
        "日本",
        "to",
    ]
    vocabulary += ["\u2028", "<b>", "what", "off", "being", "next", "available", "&amp;", "-", "by", "w/"]
    for _ in range(2000):
        caption, phrases = parsed(" ".join(rng.choices(vocabulary, k=rng.randint(0, 14))))
        spans = expressions(caption, phrases)
        assert len(spans) == len(phrases)
        for (start, end), phrase in zip(spans, phrases, strict=True):
            assert start == phrase.start and phrase.end <= end <= len(caption)
            assert end == phrase.end or not caption[end - 1].isspace()


def test_an_expression_has_an_end() -> None:
    """However long a caption goes on; else the time would grow with the square of its length."""
    caption, phrases = parsed(" in ".join(["[a box]"] * 3000))
    spans = expressions(caption, phrases)
    assert len(spans) == 3000 and spans[-1] == (phrases[-1].start, phrases[-1].end)
    assert spans[0] == (0, phrases[LONGEST // 2].end)


def test_without_phrases_there_are_no_expressions() -> None:
    assert expressions("", []) == expressions("nothing here", []) == []


def test_outermost_spans() -> None:
    assert outermost([(5, 9), (0, 9), (0, 4), (0, 9), (10, 12)]) == [(0, 9), (10, 12)]
    assert outermost([(0, 5), (3, 8)]) == [(0, 5), (3, 8)]
    assert outermost([]) == []
