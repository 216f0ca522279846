"""The rule of agreement, against cases worked out by hand and against the rule applied box by box."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.agreement import Characters, claim, named_spans, same_row


def test_a_phrase_names_the_true_span_it_overlaps_most() -> None:
    spans = Characters.of_one_row([(0, 9), (13, 25)])  # "two green apples" cut short, "a red umbrella"
    phrases = Characters.of_one_row([(2, 12), (8, 25), (9, 13)])
    assert named_spans(phrases, spans).tolist() == [0, 1, -1]
    assert named_spans(Characters.of_one_row([(0, 5)]), Characters.of_one_row([])).tolist() == [-1]
    assert named_spans(Characters.of_one_row([]), spans).tolist() == []


def test_of_equal_overlaps_the_first_span_is_named() -> None:
    spans = Characters.of_one_row([(0, 4), (4, 8)])
    assert named_spans(Characters.of_one_row([(2, 6)]), spans).tolist() == [0]


def test_a_phrase_names_spans_of_its_own_row_only() -> None:
    phrases = Characters(np.array([1, 1, 4]), np.array([0, 6, 0]), np.array([5, 9, 5]))
    spans = Characters(np.array([0, 1, 4, 4]), np.array([0, 0, 9, 2]), np.array([9, 9, 12, 4]))
    assert named_spans(phrases, spans).tolist() == [1, 1, 3]


def test_each_true_box_is_claimed_once_by_the_best_score() -> None:
    gold = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    boxes = np.array([[0, 0, 10, 9], [0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 30, 10]], np.float32)
    scores = np.array([0.6, 0.9, 0.8, 0.7], np.float32)
    pairs = np.nonzero(np.array([[1, 1], [1, 1], [0, 0], [1, 1]]))  # the third is of another phrase
    claims = claim(boxes, scores, gold, pairs)
    assert claims.gold.tolist() == [-1, 0, -1, 1]
    assert claims.right.tolist() == [False, True, False, True]
    np.testing.assert_allclose(claims.iou, [0, 1, 0, 1])


def test_an_iou_of_one_half_is_enough() -> None:
    gold = np.array([[0, 0, 10, 10]], np.float32)
    boxes = np.array([[0, 0, 10, 5], [0, 0, 10, 4.999]], np.float32)
    scores = np.array([0.1, 0.9], np.float32)
    assert claim(boxes, scores, gold, np.nonzero(np.ones((2, 1)))).gold.tolist() == [0, -1]


def test_nothing_agrees_with_nothing() -> None:
    none = np.zeros((0, 4), np.float32)
    assert len(claim(none, np.zeros(0), none, np.nonzero(np.ones((0, 0)))).gold) == 0


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(width, 0) * max(height, 0)
    return float(inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_rule_applied_box_by_box(seed: int) -> None:
    random = np.random.default_rng(seed)
    corners = random.integers(0, 6, (80, 2))
    boxes = np.concatenate([corners, corners + random.integers(2, 6, (80, 2))], axis=1).astype(np.float64)
    scores = random.integers(0, 6, 50) / 5  # many ties
    named, true = random.integers(-1, 3, 50), random.integers(0, 3, 30)
    expected, free = np.full(50, -1), set(range(30))
    for i in sorted(range(50), key=lambda i: (-scores[i], i)):
        fits = [(overlap(boxes[i], boxes[50 + j]), -j) for j in free if true[j] == named[i]]
        best = max((fit for fit in fits if fit[0] >= 0.5), default=None)
        if best is not None:
            expected[i] = -best[1]
            free.remove(-best[1])
    pairs = np.nonzero(named[:, None] == true)
    claims = claim(boxes[:50], scores, boxes[50:], pairs)
    assert claims.gold.tolist() == expected.tolist()
    right = np.flatnonzero(expected >= 0)
    assert len(right) > 5
    assert claims.iou[right] == pytest.approx([overlap(boxes[i], boxes[50 + expected[i]]) for i in right])


def test_pairs_of_the_same_row() -> None:
    i, j = same_row(np.array([0, 2, 2, 5]), np.array([2, 2, 3, 5]))
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [(1, 0), (1, 1), (2, 0), (2, 1), (3, 3)]
