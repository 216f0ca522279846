"""COCO AP of a model from category prompts (GLIP section 4.2: zero-shot transfer), with pycocotools."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.evaluation.coco_ap import Detections, average_precision
from stages.images import decode_rgb
from stages.training.sets import CocoSet

if TYPE_CHECKING:
    from model.glip import Glip
    from stages.stage import Files

CHUNK = 16  # pictures in memory
FLOOR = 0.05
MAX_PIXELS = 100_000_000


def evaluate_coco(
    glip: Glip, files: Files, annotations: str, images: str, count: int, progress: Callable[[int], None]
) -> dict[str, Any]:
    """AP and AP50 in percent over the first `count` annotated pictures, without crowds and boxes of 1 px or less."""
    samples = CocoSet(files, annotations, images)
    names = samples.vocabulary()
    pictures = min(count, len(samples))
    found: list[Detections] = []
    gold: list[list[tuple[str, tuple[float, float, float, float]]]] = []
    for start in range(0, pictures, CHUNK):
        chunk = [samples.sample(i) for i in range(start, min(start + CHUNK, pictures))]
        decoded = [decode_rgb(sample.image, MAX_PIXELS) for sample in chunk]
        for sample, result in zip(chunk, glip.detect(decoded, names, score_floor=FLOOR), strict=True):
            found.append(Detections(result.boxes.numpy(), result.scores.numpy(), result.phrase.numpy()))
            gold.append(list(sample.objects))
        progress(len(found))
    by_category = average_precision(gold, found, names, [samples.shape(i) for i in range(pictures)])
    return {
        "AP": 100 * float(np.mean([row["AP"] for row in by_category.values()])),
        "AP50": 100 * float(np.mean([row["AP50"] for row in by_category.values()])),
        "by_category": by_category,
        "pictures": pictures,
        "data": json.dumps([annotations, images]),
        "protocol": "COCO bbox AP, IoU 0.50:0.95, 100 boxes a picture, mean over categories that occur in the pictures",
    }
