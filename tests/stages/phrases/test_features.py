"""Feature rows of words."""

from __future__ import annotations

from stages.phrases.features import MAX_ROWS, PAD_ROW, feature_rows
from stages.phrases.tokens import tokenize


def test_feature_rows_share_all_but_the_shape_across_letter_case() -> None:
    for word in ("tractor", "well-worn", "café"):
        lower, upper = (feature_rows(text, tokenize(text)[0]) for text in (word, word.upper()))
        assert len(lower) <= MAX_ROWS and max(lower) < PAD_ROW
        assert [a == b for a, b in zip(lower, upper, strict=True)].count(False) == 1
