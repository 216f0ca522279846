"""COCO AP against cases whose answer is known without the tool."""

from __future__ import annotations

from typing import Any

import pytest

from stages.evaluate.coco_ap import precision_at_recalls

CUP, DOG, EEL = 1, 2, 3
TRUE = [(0, CUP, (10, 10, 40, 40)), (0, DOG, (60, 10, 30, 70)), (1, CUP, (0, 0, 20, 20))]  # image, category, x y w h


def average_precision(*found: tuple[int, int, tuple[int, ...], float]) -> dict[int, tuple[float, float]]:
    """{category: (AP, AP50)} of boxes (image, category, x y w h, score)."""
    dataset: dict[str, Any] = {
        "info": {},
        "images": [{"id": image, "height": 100, "width": 100} for image in (0, 1)],
        "categories": [{"id": category, "name": str(category)} for category in (CUP, DOG, EEL)],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": list(box), "area": 900, "iscrowd": 0}
            for number, (image, category, box) in enumerate(TRUE, 1)
        ],
    }
    results = [
        {"image_id": image, "category_id": category, "bbox": list(box), "score": score}
        for image, category, box, score in found
    ]
    precision = precision_at_recalls(dataset, results)
    assert precision.shape == (10, 101, 3)
    return {
        category: (float(precision[:, :, category - 1].mean()), float(precision[0, :, category - 1].mean()))
        for category in (CUP, DOG, EEL)
    }


def test_perfect_boxes_give_one() -> None:
    found = average_precision(*((image, category, box, 0.9) for image, category, box in TRUE))
    assert found == {CUP: pytest.approx((1, 1)), DOG: pytest.approx((1, 1)), EEL: (-1, -1)}  # no eel to be found


def test_half_found_with_a_better_scored_miss() -> None:
    """Cups: a miss at 0.9, then one of two found at 0.8: precision 1/2 up to recall 1/2, so 51 of 101 points at 1/2."""
    found = average_precision((0, CUP, (10, 10, 40, 40), 0.8), (1, CUP, (50, 50, 40, 40), 0.9))
    assert found[CUP][0] == pytest.approx(0.5 * 51 / 101)
    assert found[DOG][0] == 0


def test_iou_thresholds_count_one_by_one() -> None:
    """A dog's box with IoU 60/70 = 0.857 passes 0.50 to 0.85: 8 of 10 thresholds."""
    assert average_precision((0, DOG, (60, 10, 30, 60), 0.8))[DOG] == pytest.approx((0.8, 1))


def test_nothing_found() -> None:
    assert average_precision()[CUP] == (0, 0)
