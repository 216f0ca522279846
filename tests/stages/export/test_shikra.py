"""Shikra's boxes: three decimals, one bracket a phrase."""

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
    rows = read_rows(exported("shikra").folder)
    [(question, answer)] = turns(rows, "000000000000", "caption")
    dog, cats = "[0.033,0.083,0.094,0.833]", "[0.000,0.000,0.028,0.037;0.156,0.250,1.000,1.000]"
    assert answer == f"a dog{dog} near two cats{cats}"
    assert question.endswith(" Write boxes as [x1,y1,x2,y2].")
    assert [answer for _, answer in turns(rows, "000000000000", "locate")] == [dog, cats]
    assert dog in turns(rows, "000000000000", "describe")[0][0]
