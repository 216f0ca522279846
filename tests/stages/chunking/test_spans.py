"""Heads, norms, classes of heads, and the rules between a run of tokens and a phrase."""

from __future__ import annotations

import pytest

from stages.chunking.grammar import grammar_spans
from stages.chunking.heads import head_classes
from stages.chunking.spans import NounPhrase, norm_of
from stages.phrases import NounPhraseExtractor

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


def test_published_grammar() -> None:
    assert grammar_spans(["DT", "JJ", "NN", "VBZ", "NN", "NNS", "IN", "DT", "CC", "PRP"]) == [(0, 3), (4, 6)]
