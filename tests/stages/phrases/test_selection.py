"""Which phrases are carried on: each option alone, their order, and the token limit."""

from __future__ import annotations

from typing import Any

import pytest

from model.prompt import encode
from schemas.config import PhrasesConfig
from stages.phrases.selection import Dropped, Selection
from stages.phrases.spans import NounPhrase, norm_of

CAPTION = "a photo of Anna Lopez with the very old red umbrella in March 2018 on a table"
TEXTS = ("a photo", "Anna Lopez", "the very old red umbrella", "March 2018", "a table")


def phrases() -> list[NounPhrase]:
    found = []
    for text in TEXTS:
        start, head = CAPTION.index(text), "march" if "March" in text else text.split()[-1].lower()
        found.append(NounPhrase(start, start + len(text), text, head, norm_of(text)))
    return found


def select(**options: Any) -> tuple[list[str], dict[str, str]]:
    """The texts that stay, and the reasons of the others."""
    kept, dropped = Selection(PhrasesConfig(**options)).apply(CAPTION, phrases())
    assert sorted([*((p.start, p.end) for p in kept), *((d.start, d.end) for d in dropped)]) == [
        (phrase.start, phrase.end) for phrase in phrases()
    ]
    assert kept == sorted(kept) and dropped == sorted(dropped)
    return [phrase.text for phrase in kept], {CAPTION[d.start : d.end]: d.reason for d in dropped}


def test_without_options_all_stay() -> None:
    assert select() == (list(TEXTS), {})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"stop_phrases": ("medium",)}, {"a photo": "stop_phrase"}),
        ({"stop_phrases": ("The TABLE",)}, {"a table": "stop_phrase"}),  # by the norm
        ({"stop_phrases": ("umbrella",)}, {"the very old red umbrella": "stop_phrase"}),  # by the head
        ({"stop_phrases": ("red",)}, {}),
        ({"drop_heads": ("person_name",)}, {"Anna Lopez": "head_class"}),
        ({"drop_heads": ("place_name", "time")}, {"March 2018": "head_class"}),
        ({"max_words": 2}, {"the very old red umbrella": "phrase_too_long"}),
        ({"max_words": 5}, {}),
        ({"max_phrases": 3}, {"March 2018": "too_many_phrases", "a table": "too_many_phrases"}),
    ],
)
def test_each_option_names_its_reason(options: dict[str, Any], expected: dict[str, str]) -> None:
    assert select(**options) == ([text for text in TEXTS if text not in expected], expected)


def test_what_was_dropped_does_not_count_among_the_most() -> None:
    kept, dropped = select(stop_phrases=("medium",), drop_heads=("person_name",), max_phrases=2)
    assert kept == ["the very old red umbrella", "March 2018"]
    assert dropped == {"a photo": "stop_phrase", "Anna Lopez": "head_class", "a table": "too_many_phrases"}


@pytest.mark.parametrize("limit", range(8, 24))
def test_a_phrase_has_to_end_within_the_tokens_that_are_left(limit: int) -> None:
    """Two of them are [CLS] and [SEP]."""
    offsets = [offset for offset in encode(CAPTION).offsets if offset != (0, 0)]
    ends = {end for _, end in offsets[: limit - 2]}
    kept, dropped = select(max_tokens=limit)
    assert kept == [phrase.text for phrase in phrases() if phrase.end in ends]
    assert set(dropped.values()) <= {"over_token_limit"}


def test_a_short_caption_is_not_counted_in_tokens() -> None:
    """Each token has a character at least, so that the tokenizer is not asked."""
    phrase = NounPhrase(0, 5, "a cat", "cat", "cat")
    assert Selection(PhrasesConfig(max_tokens=8)).apply("a cat", [phrase]) == ([phrase], [])
    long = "b " * 5 + "a cat"
    far = NounPhrase(10, 15, "a cat", "cat", "cat")
    assert Selection(PhrasesConfig(max_tokens=8)).apply(long, [far]) == ([], [Dropped(10, 15, "over_token_limit")])
