"""Agreement with gold, against cases worked out by hand."""

from __future__ import annotations

import numpy as np

from stages.evaluate.agreement import Tally, box_iou, judge, span_named


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 10, 10], [0, 0, 4, 5]], np.float32)
    b = np.array([[5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(box_iou(a, b), [[50 / 150, 0], [0, 0]], atol=1e-6)


def test_a_phrase_names_the_gold_span_it_overlaps_most() -> None:
    gold = [(0, 9), (13, 25)]  # "two green apples" cut short, "a red umbrella"
    assert span_named((2, 12), gold) == 0
    assert span_named((8, 25), gold) == 1
    assert span_named((9, 13), gold) == -1
    assert span_named((0, 5), []) == -1


def test_each_gold_box_is_claimed_once_by_the_best_score() -> None:
    gold = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 30, 10]], np.float32)
    scores = np.array([0.6, 0.9, 0.8, 0.7], np.float32)
    named = np.array([0, 0, 1, 0])  # the third box is on the right thing with the wrong phrase
    right, iou = judge(boxes, scores, named, gold, np.array([0, 0]))
    assert right.tolist() == [False, True, False, True]
    np.testing.assert_allclose(iou, [0, 1, 0, 1])


def test_precision_and_recall_by_threshold() -> None:
    tally = Tally(
        scores=[0.9, 0.8, 0.55, 0.5, 0.2], right=[True, True, False, True, True], ious=[1, 0.5, 0, 1, 1], gold=8
    )
    assert tally.at(0.5) | {"mean_iou": 0} == {
        "threshold": 0.5, "boxes": 3, "right": 2, "gold": 8, "precision": 2 / 3, "recall": 2 / 8, "mean_iou": 0,
    }  # fmt: skip
    assert tally.at(0.5)["mean_iou"] == 0.75
    assert [row["boxes"] for row in tally.calibration()] == [1, 1, 1, 1, 1]
