"""COCO average precision from category prompts, with pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners
from stages.geometry import to_xywh


@dataclass(frozen=True)
class Detections:
    """One image's boxes (N, 4) half-open pixels, scores (N,) and category indices (N,)."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    category: NDArray[np.int64]


def average_precision(
    gold: Sequence[Sequence[tuple[str, Corners]]],
    found: Sequence[Detections],
    categories: Sequence[str],
    sizes: Sequence[tuple[int, int]],
) -> dict[str, dict[str, float]]:
    """{category: {"AP", "AP50", "gold"}}, IoU 0.50:0.95, at most 100 boxes an image; only categories with gold boxes.

    gold: per image, (category, (x1, y1, x2, y2)) of every object; sizes: (height, width).
    """
    number = {name: i + 1 for i, name in enumerate(categories)}
    dataset = {
        "info": {},
        "images": [{"id": i, "height": h, "width": w} for i, (h, w) in enumerate(sizes)],
        "categories": [{"id": i, "name": name} for name, i in number.items()],
        "annotations": coco_annotations(gold, number),
    }
    results = [
        {"image_id": i, "category_id": int(c) + 1, "bbox": list(to_xywh(*box)), "score": float(s)}
        for i, detections in enumerate(found)
        for box, s, c in zip(detections.boxes.tolist(), detections.scores, detections.category, strict=True)
    ]
    precision = precision_at_recalls(dataset, results)
    present = counts(gold)
    return {
        name: {
            "AP": float(precision[:, :, i - 1].mean()),
            "AP50": float(precision[0, :, i - 1].mean()),
            "gold": present[name],
        }
        for name, i in number.items()
        if name in present
    }


def precision_at_recalls(dataset: dict[str, Any], results: Sequence[dict[str, Any]]) -> NDArray[np.float64]:
    """COCO's annotations and results -> precision (10 IoU thresholds, 101 recalls, K categories by rising id).

    All areas; of each image and category the 100 best boxes. -1 throughout for a category without true boxes.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        found = truth.loadRes(list(results)) if results else COCO()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"][:, :, :, 0, -1], dtype=np.float64)


def coco_annotations(gold: Sequence[Sequence[tuple[str, Corners]]], number: Mapping[str, int]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image, objects in enumerate(gold):
        for name, box in objects:
            x, y, width, height = to_xywh(*box)
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "category_id": number[name],
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    return rows


def counts(gold: Sequence[Sequence[tuple[str, Any]]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for objects in gold:
        for name, _ in objects:
            found[name] = found.get(name, 0) + 1
    return found
