"""Numbers and sentences of the page."""

from __future__ import annotations

from typing import Any

import pytest

from stages.audit.checks import Check
from stages.audit.page.text import compact, funnel, measured, number, points, signed, usual


@pytest.mark.parametrize(
    ("code", "value", "limit", "words"),
    [
        ("boxes_per_image", 3.247, [1.2, 5.0], ("3.25", "1.2 to 5")),
        ("top_phrase", 0.0123, 0.02, ("1.2%", "at most 2%")),
        ("gold_precision", 0.9, 0.8, ("90.0%", "at least 80%")),
        ("parts_missing", 1100, 1200, ("1,100", "at least 1,200")),
    ],
)
def test_the_page_says_what_is_and_what_is_usual(code: str, value: float, limit: Any, words: tuple[str, str]) -> None:
    check = Check(code, value, limit, False, "")
    assert (measured(check), usual(check)) == words


def test_numbers_are_written_for_people() -> None:
    assert [number(value) for value in (None, 1234, 3.25)] == ["–", "1,234", "3.25"]
    assert [compact(value) for value in (None, 1234, 12_300, 24_000_000, 78_100_000, 2e9)] == [
        *("–", "1,234", "12.3k", "24M", "78.1M", "2B"),
    ]
    assert [points(change) for change in (None, 0.0, 0.0004, -0.012, 0.1)] == ["–", "0", "0", "−1.2", "+10.0"]
    assert [signed(change) for change in (None, 0.0, -0.5)] == ["–", "0", "−50.0%"]


def test_the_funnel_ends_where_the_run_ends() -> None:
    stats: dict[str, Any] = {
        **{"pairs": 80, "pairs_with_image": 60, "pairs_with_phrases": 40, "pairs_with_any_box": 20},
        **{"pairs_with_boxes": 10, "phrases_asked": 5, "score_floor": 0.1},
        **{"rejected": {"ingest": {"not_an_image": 20}}, "parts": {"pairs": 1, "phrases": 1, "labels": 1, "pseudo": 1}},
    }
    assert [(step["count"], step["share"]) for step in funnel(stats)] == [
        *((100, 1.0), (80, 0.8), (60, 0.6), (40, 0.4), (20, 0.2), (10, 0.1)),
    ]
    assert [step["count"] for step in funnel({**stats, "parts": {"pairs": 1, "phrases": 1}})] == [100, 80, 60, 40]
    assert [step["count"] for step in funnel({**stats, "phrases_asked": 0})] == [100, 80, 60, 40]  # captions alone
