"""COCO AP against cases whose answer is known without the tool."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluate.coco_ap import Detections, average_precision

GOLD = [[("cup", (10.0, 10.0, 50.0, 50.0)), ("dog", (60.0, 10.0, 90.0, 80.0))], [("cup", (0.0, 0.0, 20.0, 20.0))]]
SIZES = [(100, 100), (100, 100)]


def detections(*rows: tuple[tuple[float, ...], float, int]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([category for _, _, category in rows], np.int64),
    )


def test_perfect_boxes_give_one() -> None:
    found = [
        detections(((10, 10, 50, 50), 0.9, 0), ((60, 10, 90, 80), 0.9, 1)),
        detections(((0, 0, 20, 20), 0.4, 0)),
    ]
    result = average_precision(GOLD, found, ["cup", "dog", "eel"], SIZES)
    assert result == {
        "cup": {"AP": pytest.approx(1), "AP50": pytest.approx(1), "gold": 2},
        "dog": {"AP": pytest.approx(1), "AP50": pytest.approx(1), "gold": 1},
    }


def test_half_found_with_a_better_scored_miss() -> None:
    """Cups: a miss at 0.9, then one of two found at 0.8: precision 1/2 up to recall 1/2, so 51 of 101 points at 1/2."""
    found = [detections(((10, 10, 50, 50), 0.8, 0)), detections(((50, 50, 90, 90), 0.9, 0))]
    result = average_precision(GOLD, found, ["cup", "dog"], SIZES)
    assert result["cup"]["AP"] == pytest.approx(0.5 * 51 / 101)
    assert result["dog"]["AP"] == 0


def test_iou_thresholds_count_one_by_one() -> None:
    """A dog's box with IoU 60/70 = 0.857 passes 0.50 to 0.85: 8 of 10 thresholds."""
    found = [detections(((60, 10, 90, 70), 0.8, 1)), detections()]
    assert average_precision(GOLD, found, ["cup", "dog"], SIZES)["dog"]["AP"] == pytest.approx(0.8)


def test_nothing_found() -> None:
    assert average_precision(GOLD, [detections(), detections()], ["cup", "dog"], SIZES)["cup"]["AP"] == 0
