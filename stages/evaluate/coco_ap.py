"""COCO average precision from category prompts, with pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


def precision_at_recalls(
    dataset: dict[str, Any], results: Sequence[dict[str, Any]], kind: Literal["bbox", "segm"] = "bbox"
) -> NDArray[np.float64]:
    """COCO's annotations and results -> precision (10 IoU thresholds, 101 recalls, K categories by rising id).

    `kind`: the IoU is that of boxes, or of masks, which all annotations and results then have. All areas; of each image
    and category the 100 best. -1 throughout for a category without true boxes.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress there
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        found = truth.loadRes(list(results)) if results else COCO()
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
    return np.asarray(evaluation.eval["precision"][:, :, :, 0, -1], dtype=np.float64)
