"""Figures of judged boxes, against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stages.agreement import Claims
from stages.evaluate.tally import Tally


def test_precision_and_recall_by_threshold() -> None:
    tally = Tally(
        scores=[0.9, 0.8, 0.55, 0.5, 0.2], right=[True, True, False, True, True], ious=[1, 0.5, 0, 1, 1], gold=8
    )
    assert tally.at(0.5) | {"mean_iou": 0} == {
        "threshold": 0.5, "boxes": 3, "right": 2, "gold": 8, "precision": 2 / 3, "recall": 2 / 8, "mean_iou": 0,
    }  # fmt: skip
    assert tally.at(0.5)["mean_iou"] == 0.75
    assert [row["boxes"] for row in tally.calibration()] == [1, 1, 1, 1, 1]


def test_only_the_chosen_boxes_are_added() -> None:
    claims = Claims(np.array([3, -1, 0]), np.array([0.75, 0, 0.5], np.float32))
    tally = Tally()
    tally.add(np.array([0.5, 0.25, 0.75], np.float32), claims, np.array([True, True, False]), 4)
    tally.add(np.array([0.5, 0.25, 0.75], np.float32), claims, np.array([False, False, True]), 1)
    assert (tally.scores, tally.right, tally.ious) == ([0.5, 0.25, 0.75], [True, False, True], [0.75, 0, 0.5])
    assert tally.at(0.0)["recall"] == pytest.approx(2 / 5)
