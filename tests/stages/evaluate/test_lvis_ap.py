"""Fixed AP by hand, and against the figures of LVIS's own tool."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from stages.evaluate.detections import Detections
from stages.evaluate.lvis_ap import Pool, Truth, precision_at_recalls
from tests.stages.evaluate import lvis_case
from tests.stages.evaluate.lvis_case import HERE, THERE


def pool_of(*rows: tuple[int, tuple[float, ...], float], most: int = 10_000) -> Pool:
    """Boxes of category 0: (image, corners, score)."""
    pool = Pool(most)
    for image, box, score in rows:
        pool.add(image, detections((box, score, 0)))
    return pool


def detections(*rows: tuple[tuple[float, ...], float, int]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([category for _, _, category in rows], np.int64),
    )


def ap(pool: Pool, truth: Truth) -> float:
    precision = precision_at_recalls(pool.best(0), truth)
    assert precision is not None
    return float(precision.mean())


def test_only_images_that_were_looked_at_count() -> None:
    """A miss at 0.9 above a hit at 0.8: precision 1/2 throughout, but only if the category is known to be absent."""
    pool = pool_of((2, HERE, 0.99), (1, HERE, 0.9), (0, HERE, 0.8))
    assert ap(pool, Truth({0: [HERE]})) == pytest.approx(1)
    assert ap(pool, Truth({0: [HERE]}, absent={1})) == pytest.approx(0.5)
    assert ap(pool, Truth({0: [HERE]}, absent={1, 2})) == pytest.approx(1 / 3)
    assert precision_at_recalls(pool.best(0), Truth(absent={1})) is None


def test_where_boxes_are_missing_an_unmatched_box_is_no_mistake() -> None:
    pool = pool_of((0, THERE, 0.95), (0, HERE, 0.5))
    assert ap(pool, Truth({0: [HERE]})) == pytest.approx(0.5)
    assert ap(pool, Truth({0: [HERE]}, partial={0})) == pytest.approx(1)


def test_the_pool_is_filled_by_score_wherever_the_boxes_lie() -> None:
    """Boxes in images that are not judged take room too: the rule is set before anything is known of the truth."""
    rows = [(2, HERE, 0.99), (3, HERE, 0.98), (0, HERE, 0.5)]
    assert ap(pool_of(*rows, most=3), Truth({0: [HERE]})) == pytest.approx(1)
    assert ap(pool_of(*rows, most=2), Truth({0: [HERE]})) == 0


def test_a_true_box_is_taken_once_and_iou_thresholds_count_one_by_one() -> None:
    """IoU 0.75 with two of two things passes 6 of 10 thresholds; a second box on the same thing is a mistake."""
    truth = Truth({0: [HERE, THERE]})
    three_quarters = [(0, (10.0, 10.0, 50.0, 40.0), 0.9), (0, (60.0, 10.0, 90.0, 32.5), 0.8)]
    assert ap(pool_of(*three_quarters), truth) == pytest.approx(0.6)
    twice = pool_of((0, HERE, 0.9), (0, HERE, 0.8), (0, THERE, 0.7))
    assert ap(twice, truth) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_a_pool_that_is_settled_often_keeps_what_a_full_sort_keeps() -> None:
    rng = np.random.default_rng(3)
    pool, everything = Pool(most=20, pending=50), []
    for image in range(30):
        scores = np.sort(rng.integers(0, 40, 15))[::-1] / 40  # many are equal
        category = rng.integers(0, 3, 15)
        boxes = rng.random((15, 4))
        pool.add(image, Detections(boxes.astype(np.float32), scores.astype(np.float32), category))
        everything += [(s, image, c, b[0]) for s, c, b in zip(scores, category, boxes, strict=True)]
    for category in range(3):
        wanted = sorted((row for row in everything if row[2] == category), key=lambda row: -row[0])[:20]
        best = pool.best(category)
        assert best["image"].tolist() == [row[1] for row in wanted]
        np.testing.assert_allclose(best["box"][:, 0], [row[3] for row in wanted], rtol=1e-6)
    assert len(pool.best(3)) == 0


@pytest.mark.parametrize("most", lvis_case.POOLS)
def test_the_tool_says_the_same_of_every_category(most: int) -> None:
    dataset, found = lvis_case.draw()
    recorded = json.loads(lvis_case.RECORDED.read_text())
    pool = Pool(most, pending=100)
    for image, rows in enumerate(found):
        pool.add(image, detections(*rows))
    by_category = recorded[str(most)]["by_category"]
    assert len(by_category) == lvis_case.CATEGORIES
    for category, wanted in enumerate(by_category):
        precision = precision_at_recalls(pool.best(category), truth_of(dataset, category + 1))
        assert (-1.0 if precision is None else float(precision.mean())) == pytest.approx(wanted, abs=1e-12)


def truth_of(dataset: dict[str, Any], category: int) -> Truth:
    truth = Truth()
    for number, image in enumerate(dataset["images"]):
        if category in image["neg_category_ids"]:
            truth.absent.add(number)
        if category in image["not_exhaustive_category_ids"]:
            truth.partial.add(number)
        for annotation in dataset["annotations"]:
            if annotation["image_id"] == image["id"] and annotation["category_id"] == category:
                x, y, width, height = annotation["bbox"]
                truth.boxes.setdefault(number, []).append((x, y, x + width, y + height))
    return truth
