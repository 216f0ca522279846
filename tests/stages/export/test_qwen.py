"""Qwen's JSON: pixels of the resized image for 2.5, thousandths for 3."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stages.export.exported import Exported
from tests.stages.export.hostile_run import hostile_run, read_rows, turns


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return hostile_run(tmp_path / "run")


def test_pixels_are_those_of_the_resized_image(exported: Callable[..., Exported]) -> None:
    """320 x 240 becomes 308 x 252; 20 x 17 has less than the 3136 pixels of the minimum, and becomes 84 x 56."""
    export = exported("qwen2.5-vl")
    rows = read_rows(export.folder)
    [(_, answer)] = turns(rows, "000000000000", "caption")
    assert answer.splitlines() == [
        "a dog near two cats",
        '[{"bbox_2d": [10, 21, 29, 210], "label": "a dog"}, {"bbox_2d": [0, 0, 9, 9], "label": "two cats"}, '
        '{"bbox_2d": [48, 63, 308, 252], "label": "two cats"}]',
    ]
    [(_, answer)] = turns(rows, "000000000003", "locate")
    assert [one["bbox_2d"] for one in json.loads(answer)] == [[0, 0, 84, 56], [14, 16, 38, 36]]
    assert export.result["boxes left out (of images too long for the reader)"] == 1


def test_a_smaller_limit_of_the_trainer_gives_other_pixels(exported: Callable[..., Exported]) -> None:
    """1999 x 1501 within 50176 pixels is 252 x 168 (of 28), less than the 258 x 194 of the same shape."""
    rows = read_rows(exported("qwen2.5-vl", max_pixels=50176).folder)
    [(_, answer)] = turns(rows, "000000000004", "locate")
    assert [one["bbox_2d"] for one in json.loads(answer)] == [[13, 11, 63, 101], [88, 0, 113, 157]]


def test_qwen3_counts_from_0_to_1000(exported: Callable[..., Exported]) -> None:
    rows = read_rows(exported("qwen3-vl").folder)
    [(question, answer)] = turns(rows, "000000000007", "locate")
    assert answer == '[{"bbox_2d": [0, 0, 1000, 1000], "label": "a long rope"}]'
    assert question.endswith(" Report bounding boxes in JSON.")
    [(question, _)] = turns(rows, "000000000007", "describe")
    assert "[0, 0, 1000, 1000]" in question
