"""Classes of heads, by word lists and letter case."""

from __future__ import annotations

import pytest

from stages.phrases.heads import head_classes
from stages.phrases.spans import NounPhrase, norm_of


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
