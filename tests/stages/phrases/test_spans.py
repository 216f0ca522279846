"""Heads, norms, classes of heads, and the rules between a run of tokens and a phrase."""

from __future__ import annotations

import numpy as np
import pytest

from stages.phrases import NounPhraseExtractor
from stages.phrases.decode import decode
from stages.phrases.grammar import grammar_spans
from stages.phrases.heads import head_classes
from stages.phrases.language import KNOWN_BITS
from stages.phrases.spans import NounPhrase, norm_of
from stages.phrases.vocabulary import Vocabulary

EXTRACTOR = NounPhraseExtractor()


@pytest.mark.parametrize(
    ("text", "norm"),
    [
        ("The  Red\tCar", "red car"),
        ("this", "this"),
        ("Her own house", "own house"),
        ("some of", "of"),
        ("thermos", "thermos"),
        ("a Straße ＡＢＣ", "straße abc"),
        ("all the dogs", "all the dogs"),
        ("another rider", "another rider"),
    ],
)
def test_norm(text: str, norm: str) -> None:
    assert norm_of(text) == norm


@pytest.mark.parametrize(
    ("caption", "heads"),
    [
        ("a steep garden path", ["path"]),
        ("tickets for £ 40", ["tickets", "40"]),
        ("water at 12 °C", ["water", "°c"]),
        ("a close - up of a bee", ["close - up", "bee"]),
        ("a hot - air balloon over the hill", ["balloon", "hill"]),
        ("hats of the 1920s", ["hats", "1920s"]),
        ("a flag of the U.S.", ["flag", "u.s"]),
    ],
)
def test_heads(caption: str, heads: list[str]) -> None:
    found = [phrase.head for phrase in EXTRACTOR.extract([caption])[0]]
    assert found == heads


@pytest.mark.parametrize(
    ("text", "head", "classes"),
    [
        ("Anna Lopez", "lopez", {"person_name"}),
        ("Dr. Hill", "hill", {"person_name"}),
        ("New York", "york", {"place_name"}),
        ("the late 1960s", "1960s", {"time"}),
        ("£ 40", "40", {"quantity"}),
        ("a lot", "lot", {"quantity"}),
        ("true love", "love", {"abstract"}),
        ("a red dog", "dog", set()),
        ("anna", "anna", set()),
    ],
)
def test_head_classes(text: str, head: str, classes: set[str]) -> None:
    assert head_classes(NounPhrase(0, len(text), text, head, norm_of(text))) == classes


def chunked(caption: str, labels: str) -> list[str]:
    """What becomes of a caption whose tokens have these labels, O, B or I."""
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool))
    tokens = vocabulary.tokens([caption])
    assert len(tokens.type) == len(labels)
    (found,) = decode(tokens, np.array(["OBI".index(label) for label in labels]), vocabulary, 1)
    return [caption[chunk.start : chunk.end] for chunk in found.chunks]


@pytest.mark.parametrize(
    ("caption", "labels", "expected"),
    [
        ("April 2017 and May 2018", "BOOBB", ["April 2017", "May 2018"]),
        ("June 2017 festival", "BBI", ["June", "2017 festival"]),
        ("people march 2018 miles", "BOBI", ["people", "2018 miles"]),
        ("5 best hikes , 12 goals", "OIIOBB", ["5 best hikes", "12 goals"]),
        ("3 - 2 wins , # 7 dogs , 9 a day", "OOOBOOOBOOBI", ["wins", "dogs", "a day"]),
        ("gate 4 people 1990 cars", "BOBOB", ["gate", "people", "cars"]),
        ("just a cat indoors today", "BIIII", ["a cat"]),
        ("the great outdoors", "BII", ["the great outdoors"]),
        ("the outdoors", "BI", ["the outdoors"]),
        ("fruit and vegetables", "BIB", ["fruit", "vegetables"]),
        ("dinner - in garden today", "BOBBB", ["dinner", "garden"]),
        ("omg Dogs !", "BIO", ["Dogs"]),
        ("one sits while others stand", "BOOBO", []),
        ("side by side in front of it", "BOBOBOB", []),
        ("a drill XD-18V2", "BII", ["a drill"]),
        ("the U.S.", "BI", ["the U.S"]),
    ],
)
def test_rules_between_labels_and_phrases(caption: str, labels: str, expected: list[str]) -> None:
    assert chunked(caption, labels) == expected


def test_published_grammar() -> None:
    assert grammar_spans(["DT", "JJ", "NN", "VBZ", "NN", "NNS", "IN", "DT", "CC", "PRP"]) == [(0, 3), (4, 6)]
