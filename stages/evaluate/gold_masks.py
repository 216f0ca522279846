"""True masks of annotation files, as COCO's compressed run lengths, and how other masks overlap with true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stages.rle import of_json, to_json

Coded = dict[str, Any]  # {"size": [height, width], "counts": ASCII}
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9)


def coded(annotation: Mapping[str, Any], size: tuple[int, int]) -> Coded:
    """The mask of an annotation in an image of (width, height).

    `segmentation` is a list of polygons, whose union counts, or COCO's run lengths, compressed or not. Raises
    KeyError, TypeError or ValueError for anything else, as `stages.annotations.reading` expects.
    """
    from pycocotools import mask

    width, height = size
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, dict):
        counts, *found = of_json(segmentation)
        if found != [height, width]:
            raise ValueError(f"segmentation has {found[0]} x {found[1]} pixels (h, w), its image {height} x {width}")
    else:
        if not isinstance(segmentation, list) or not segmentation or not all(map(is_polygon, segmentation)):
            raise ValueError(f"segmentation is {str(segmentation)[:60]}, neither polygons nor run lengths")
        counts = mask.merge(mask.frPyObjects(segmentation, height, width))["counts"]
    return to_json(counts, height, width)


def is_polygon(value: Any) -> bool:
    """x and y of three points or more."""
    if not isinstance(value, list) or len(value) < 6 or len(value) % 2:
        return False
    return all(isinstance(number, int | float) for number in value) and bool(np.isfinite(value).all())


def overlap(mine: Coded, other: Coded) -> tuple[int, int]:
    """Pixels in both masks of an image, and pixels in either."""
    from pycocotools import mask

    both, either = (mask.area(mask.merge([mine, other], intersect=intersect)) for intersect in (True, False))
    return int(both), int(either)


def iou_figures(both: Sequence[int], either: Sequence[int]) -> dict[str, Any]:
    """In percent, of N pairs of masks by their pixels in both and in either: oIoU is the sum of all intersections over
    that of all unions, mIoU the mean, P@X the share of pairs with an IoU of X or more. Two empty masks have 0."""
    inside, whole = np.asarray(both, np.int64), np.asarray(either, np.int64)
    ious = np.divide(inside, whole, out=np.zeros(len(inside)), where=whole > 0)
    precision = {f"P@{level}": 100 * float(np.mean(ious >= level)) for level in LEVELS}
    return {"oIoU": 100 * float(inside.sum() / max(whole.sum(), 1)), "mIoU": 100 * float(ious.mean()), **precision}
