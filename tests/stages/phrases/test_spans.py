"""Heads and norms of phrases."""

from __future__ import annotations

import pytest

from stages.phrases import NounPhraseExtractor
from stages.phrases.spans import norm_of

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
