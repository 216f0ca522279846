"""COCO AP of the 80 names in one prompt, on photos with boxes that people drew, with its interval over the photos."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.outputs import Grounding
from stages.evaluate.coco import LIMIT, percent, results_of
from stages.evaluate.coco_ap import precision_at_recalls
from stages.images import decode_rgb

DRAWS = 200  # of the bootstrap


def average_precision(detect: Callable[[np.ndarray, list[str]], Grounding], folder: Path) -> dict[str, Any]:
    """AP of a folder as coco-mini. `detect` gets an image and all names, by id."""
    dataset = json.loads((folder / "instances.json").read_text())
    dataset["categories"].sort(key=lambda category: category["id"])
    ids = [category["id"] for category in dataset["categories"]]
    names = [category["name"] for category in dataset["categories"]]
    results = []
    for row in dataset["images"]:
        image = decode_rgb((folder / "images" / row["file_name"]).read_bytes(), 10_000_000)
        results += results_of(row["id"], detect(image, names), ids)
    precision = precision_at_recalls(dataset, results)
    low, high = np.quantile(drawn(dataset, results, DRAWS), [0.025, 0.975])
    return {
        **{"AP": percent(precision), "AP50": percent(precision[0]), "boxes": len(results), "limit": LIMIT},
        "interval_95": {"AP": [round(float(low), 2), round(float(high), 2)]},
    }


def drawn(dataset: dict[str, Any], results: Sequence[dict[str, Any]], draws: int) -> NDArray[np.float64]:
    """AP in percent of samples of the images, drawn with replacement; (draws,).

    Boxes are matched once, image by image: only what is made of the matches differs between samples.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    found = []
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(list(results)) if results else COCO(), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = evaluation.params.areaRng[:1], ["all"]
        evaluation.params.maxDets = [LIMIT]
        evaluation.evaluate()
        images = len(evaluation.params.imgIds)
        matches = np.array(evaluation.evalImgs, dtype=object).reshape(-1, images)  # (categories, images)
        for _ in range(draws):
            evaluation.evalImgs = matches[:, rng.integers(images, size=images)].ravel().tolist()
            evaluation.accumulate()
            found.append(percent(evaluation.eval["precision"][..., 0, 0]))
    return np.array([ap for ap in found if ap is not None])
