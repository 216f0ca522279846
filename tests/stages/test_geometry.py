"""Boxes in numpy, against cases worked out by hand and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stages import geometry
from stages.geometry import area, clip, from_xywh, iou, pairs_within, suppressed, to_xywh


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 10, 10], [0, 0, 4, 5]], np.float32)
    b = np.array([[5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    assert iou(a, b) == pytest.approx(np.array([50 / 150, 0]))
    assert iou(a[:, None], b) == pytest.approx(np.array([[50 / 150, 0], [0, 0]]))
    assert iou(a[0], np.array([0, 0, 10, 10], np.float32)) == 1


def test_boxes_that_touch_or_are_empty_do_not_overlap() -> None:
    box, empty = np.array([0.0, 0, 4, 4]), np.array([2.0, 2, 2, 2])
    assert iou(box, np.array([4.0, 0, 8, 4])) == 0
    assert iou(box, empty) == 0
    assert iou(empty, empty) == 0
    assert iou(np.zeros((0, 1, 4)), np.zeros((3, 4))).shape == (0, 3)


def test_precision_is_that_of_the_boxes() -> None:
    boxes = np.array([[0, 0, 3, 3], [1, 1, 3, 3]])
    assert iou(boxes[:1].astype(np.float32), boxes[1:].astype(np.float32)).dtype == np.float32
    assert iou(boxes[:1].astype(np.float64), boxes[1:].astype(np.float64)).dtype == np.float64


def test_clipping_keeps_boxes_inside_their_own_images() -> None:
    boxes = np.array([[-5, -5, 120, 60], [10, 10, 20, 20], [90, 60, 130, 80]], np.float32)
    found = clip(boxes, np.array([100, 15, 100]), np.array([50, 15, 50]))
    assert found.tolist() == [[0, 0, 100, 50], [10, 10, 15, 15], [90, 50, 100, 50]]
    assert found.dtype == np.float32
    assert area(found).tolist() == [5000, 25, 0]
    assert np.isnan(clip(np.array([[np.nan, 0, 1, 1]]), 10, 10)).tolist() == [[True, False, False, False]]


def test_left_top_width_height_and_back() -> None:
    assert to_xywh(10.5, 2.0, 30.0, 7.0) == (10.5, 2.0, 19.5, 5.0)
    assert from_xywh(*to_xywh(10.5, 2.0, 30.0, 7.0)) == (10.5, 2.0, 30.0, 7.0)
    columns = np.array([[0.0, 1, 4, 6], [2, 2, 3, 5]]).T
    assert np.stack(to_xywh(*columns), axis=1).tolist() == [[0, 1, 4, 5], [2, 2, 1, 3]]


@pytest.mark.parametrize("at_once", [1, 3, 1 << 20])
def test_all_pairs_of_a_group_come_once_in_order(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "PAIRS_AT_ONCE", at_once)
    group = np.array([7, 7, 7, 2, 5, 5])
    found = [pair for left, right in pairs_within(group) for pair in zip(left.tolist(), right.tolist(), strict=True)]
    assert found == [(0, 1), (0, 2), (1, 2), (4, 5)]
    assert [len(left) for left, _ in pairs_within(np.zeros(0, np.int64))] == [0]


def test_a_suppressed_box_suppresses_none() -> None:
    # The second overlaps the first, the third the second but not the first.
    boxes = np.array([[0, 0, 30, 10], [6, 0, 36, 10], [12, 0, 42, 10]], float)
    one = np.zeros(3, np.int64)
    assert suppressed(boxes, np.array([0.9, 0.8, 0.7]), [one], 0.6).tolist() == [False, True, False]
    assert suppressed(boxes, np.array([0.7, 0.9, 0.8]), [one], 0.6).tolist() == [True, False, True]
    assert suppressed(boxes, np.array([0.9, 0.8, 0.7]), [np.arange(3)], 0.6).tolist() == [False] * 3
    assert suppressed(boxes, np.array([0.9, 0.8, 0.7]), [one], 0.6, rivals=one).tolist() == [False] * 3


def by_hand(
    boxes: NDArray[np.float64], score: NDArray[np.float64], groups: NDArray[np.int64], limit: float,
    rivals: NDArray[np.int64] | None,
) -> list[bool]:  # fmt: skip
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-score[i], i)):
        better = [j for j in kept if (groups[i] == groups[j]).all() and (rivals is None or rivals[i] != rivals[j])]
        if not any(iou(boxes[i], boxes[j]) > limit for j in better):
            kept.append(i)
    return [i not in kept for i in range(len(boxes))]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("at_once", [5, 1 << 20])
def test_suppression_is_that_of_plain_loops(seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geometry, "PAIRS_AT_ONCE", at_once)
    random = np.random.default_rng(seed)
    corners = random.integers(0, 8, (90, 2))
    boxes = np.concatenate([corners, corners + random.integers(1, 8, (90, 2))], axis=1).astype(np.float64)
    score = random.integers(0, 7, 90) / 6
    groups = random.integers(0, 3, (90, 2))
    for rivals in (None, random.integers(0, 2, 90)):
        found = suppressed(boxes, score, list(groups.T), 0.3, rivals)
        assert found.tolist() == by_hand(boxes, score, groups, 0.3, rivals)
        assert 5 < found.sum() < 80
    assert len(suppressed(np.zeros((0, 4)), np.zeros(0), [np.zeros(0, np.int64)], 0.5)) == 0
