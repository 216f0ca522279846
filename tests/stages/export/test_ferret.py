"""Ferret's boxes: thousandths, cut off."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.export.exported import Exported
from tests.stages.export.hostile_run import hostile_run, read_rows, turns


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return hostile_run(tmp_path / "run")


def test_boxes_follow_their_phrase(exported: Callable[..., Exported]) -> None:
    rows = read_rows(exported("ferret").folder)
    [(question, answer)] = turns(rows, "000000000000", "caption")
    dog, cats = "a dog [32, 83, 93, 833]", "two cats [0, 0, 28, 37] [156, 250, 1000, 1000]"
    assert answer == f"{dog} near {cats}"
    assert question.endswith(" Write boxes as [x1, y1, x2, y2].")
    assert [answer for _, answer in turns(rows, "000000000000", "locate")] == [dog, cats]
    assert "[32, 83, 93, 833]" in turns(rows, "000000000000", "describe")[0][0]


def test_the_references_own_numbers(exported: Callable[..., Exported]) -> None:
    """Ferret's loader: int(corner * 1000 / side)."""
    rows = read_rows(exported("ferret").folder)
    expected = [int(place * 1000 / side) for place, side in zip((700, 3, 900, 1400), (1999, 1501) * 2)]
    assert str(expected) in turns(rows, "000000000004", "caption")[0][1]
