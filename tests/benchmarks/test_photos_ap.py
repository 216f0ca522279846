"""The interval of COCO AP against APs of samples that are written out and evaluated anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.photos_ap import drawn
from stages.evaluate.coco import percent
from stages.evaluate.coco_ap import precision_at_recalls

IMAGES = 5


def world(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """True boxes of two categories, and results that find some of them."""
    rng = np.random.default_rng(seed)
    truth, results = [], []
    for image in range(IMAGES):
        for _ in range(3):
            box = [*rng.integers(0, 80, 2).tolist(), *rng.integers(10, 40, 2).tolist()]
            category = int(rng.integers(2))
            truth.append(
                {"image_id": image, "category_id": category, "bbox": box, "iscrowd": 0, "area": box[2] * box[3]}
            )
            found = [value + float(shift) for value, shift in zip(box, rng.normal(0, 4, 4), strict=True)]
            results.append({"image_id": image, "category_id": category, "bbox": found, "score": float(rng.random())})
    annotations = [{"id": number + 1, **row} for number, row in enumerate(truth)]
    rows = [{"id": image, "width": 120, "height": 120} for image in range(IMAGES)]
    return {"images": rows, "annotations": annotations, "categories": [{"id": 0}, {"id": 1}]}, results


def repeated(
    dataset: dict[str, Any], results: list[dict[str, Any]], images: list[int]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The same with these images, each under a number of its own."""
    rows = [{"id": number, "width": 120, "height": 120} for number in range(len(images))]
    truth, found = (
        [
            {**row, "image_id": number}
            for number, image in enumerate(images)
            for row in table
            if row["image_id"] == image
        ]
        for table in (dataset["annotations"], results)
    )
    annotations = [{**row, "id": number + 1} for number, row in enumerate(truth)]
    return {**dataset, "images": rows, "annotations": annotations}, found


@pytest.mark.parametrize("seed", [0, 1])
def test_draws_are_aps_of_their_images(seed: int) -> None:
    dataset, results = world(seed)
    found = drawn(dataset, results, draws=4)
    rng = np.random.default_rng(0)
    samples = [rng.integers(IMAGES, size=IMAGES).tolist() for _ in range(4)]
    expected = [percent(precision_at_recalls(*repeated(dataset, results, images))) for images in samples]
    assert found == pytest.approx(expected) and len(set(expected)) > 1
