"""Geometry of boxes in numpy: half-open corners x1, y1, x2, y2 in pixels, on the last axis.

The counterpart in torch, `model/geometry.py`, also knows GLIP's legacy boxes. Computed in the precision of the boxes
that are given: decisions that must not depend on it are made in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
Number = TypeVar("Number", float, NDArray[Any])

PAIRS_AT_ONCE = 1 << 20  # bounds the memory of comparisons of all pairs of a group


def box_array(boxes: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """(N, 4), also for N = 0."""
    return np.asarray(boxes, dtype=np.float32).reshape(-1, 4)


def area(boxes: Floats) -> Floats:
    """(..., 4) -> (...), negative where one side is."""
    result: Floats = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return result


def iou(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union: (..., 4), (..., 4) -> (...), broadcast; 0 where both boxes are empty.

    All pairs of (N, 4) and (M, 4): `iou(boxes[:, None], others)`, (N, M).
    """
    low, high = np.maximum(boxes[..., :2], others[..., :2]), np.minimum(boxes[..., 2:], others[..., 2:])
    sides = np.maximum(high - low, 0)
    inner = sides[..., 0] * sides[..., 1]
    union = area(boxes) + area(others) - inner
    ratio: Floats = np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
    return ratio


def clip(boxes: Floats, width: Any, height: Any) -> Floats:
    """(..., 4) cut at the borders of images of width x height pixels, numbers or arrays (...)."""
    limit = np.stack(np.broadcast_arrays(width, height, width, height), axis=-1).astype(boxes.dtype)
    return np.clip(boxes, 0, limit)


def to_xywh(x1: Number, y1: Number, x2: Number, y2: Number) -> tuple[Number, Number, Number, Number]:
    """Left, top, width and height, as COCO writes them; of numbers or of arrays."""
    return x1, y1, x2 - x1, y2 - y1


def from_xywh(x: Number, y: Number, width: Number, height: Number) -> tuple[Number, Number, Number, Number]:
    """The corners of COCO's left, top, width and height."""
    return x, y, x + width, y + height


def pairs_within(group: Ints) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs i < j of the same group, rising in i, in blocks; the members of a group stand together."""
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[starts, len(group)])
    last = np.repeat(starts + sizes, sizes)
    partners = last - np.arange(len(group)) - 1
    cut = np.flatnonzero(np.diff(np.cumsum(partners) // PAIRS_AT_ONCE)) + 1
    for block in np.split(np.arange(len(group)), cut):
        left = np.repeat(block, partners[block])
        begin = np.cumsum(partners[block]) - partners[block]
        right = left + 1 + np.arange(len(left)) - np.repeat(begin, partners[block])
        yield left, right


def suppressed(boxes: Floats, score: Floats, groups: Sequence[Ints], limit: float, rivals: Ints | None = None) -> Flags:
    """Greedy non-maximum suppression: which boxes (N,) overlap a better one that stays by an IoU above `limit`.

    Boxes (N, 4) compete where they are alike in all `groups` (N,), best score (N,) first, the lower index among equals;
    with `rivals` (N,) only those that differ in it.
    """
    order = np.lexsort((-score, *groups))  # stable: the lower index first
    changes = np.any([np.diff(group[order]) != 0 for group in groups], axis=0)
    gone = np.zeros(len(order), np.bool_)
    for left, right in pairs_within(np.r_[0, np.cumsum(changes)][: len(order)]):
        better, worse = order[left], order[right]
        clash = iou(boxes[better], boxes[worse]) > limit
        if rivals is not None:
            clash &= rivals[better] != rivals[worse]
        for stays, goes in zip(better[clash].tolist(), worse[clash].tolist(), strict=True):
            if not gone[stays]:
                gone[goes] = True
    return gone
