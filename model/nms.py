"""Greedy non-maximum suppression of many groups of boxes at once: in numpy on the host, in torch on a device.

A box goes when it overlaps a better one of its group that stays by an IoU above a limit. Boxes have inclusive corners
(`model/geometry.py`), one pixel more than those of torchvision's NMS. Both ways take the IoU as `pairwise_iou` does,
operation by operation in float32, so that they agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.geometry import pairwise_iou

Floats = NDArray[np.float32]
Ints = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

GRID = 30_000  # cells along a side, for centres in 16 bits: a processor compares many of these at once
MANY = 4  # boxes are compared with their neighbours all at once while one of so many has that many neighbours
ROUNDS = 16  # on a device
AT_ONCE = 1 << 26  # IoUs in the memory of a device: 256 MiB


def suppress(boxes: Floats, group: Ints, limit: float) -> Flags:
    """Which boxes (N, 4) stay. They come best first; those of one group (N,), a number from 0 on, stand together.

    Around an object many boxes overlap: there, one comparison of all with the best one leaves few. Elsewhere, most such
    comparisons would be in vain, and only boxes whose centres are near are compared. The first is done as long as it
    takes away enough to pay for itself.
    """
    keep = np.ones(len(boxes), dtype=np.bool_)
    index, columns = np.arange(len(boxes)), with_area(boxes)
    pays = True
    while len(index) and pays:
        best = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])  # of each group
        gone = above(columns, np.repeat(columns[:, best], np.diff(np.r_[best, len(index)]), axis=1), limit)
        gone[best] = False
        keep[index[gone]] = False
        left = ~gone
        left[best] = False
        rest = np.flatnonzero(left)
        pays = 4 * int(np.count_nonzero(gone)) ** 2 > len(index) * len(best)
        index, group, columns = index[rest], group[rest], columns.take(rest, axis=1)
    if len(index):
        one, other = near(columns, group, limit)
        clash = above(columns.take(one, axis=1), columns.take(other, axis=1), limit)
        one, other = index[one[clash]], index[other[clash]]
        resolve(keep, np.minimum(one, other), np.maximum(one, other))
    return keep


def with_area(boxes: Floats) -> Floats:
    """(N, 4) -> (5, N): x1, y1, x2, y2 and the area."""
    x1, y1, x2, y2 = boxes.T
    return np.stack((x1, y1, x2, y2, (x2 - x1 + 1) * (y2 - y1 + 1)))


def above(boxes: Floats, others: Floats, limit: float) -> Flags:
    """(5, N) and (5, N), as of `with_area` -> (N,) whether the IoU of each pair is above the limit; NaN is not."""
    overlap, height = (
        np.maximum(np.minimum(boxes[end], others[end]) - np.maximum(boxes[start], others[start]) + 1, 0)
        for start, end in ((0, 2), (1, 3))
    )
    overlap *= height
    union = boxes[4] + others[4]
    union -= overlap
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap /= union
    result: Flags = overlap > limit
    return result


def near(columns: Floats, group: Ints, limit: float) -> tuple[Indices, Indices]:
    """Pairs (P,), (P,) of a group among which are all whose IoU is above the limit.

    The IoU of two boxes is at most that of their widths, and that of their heights. Of two intervals, it is above the
    limit only where the centres are nearer than (1 - limit) / (2 * limit) of the shorter one: twice the distance is at
    most what of the union is not shared, and the union is shorter than the shorter interval / limit.
    """
    usable = np.flatnonzero(np.isfinite(columns[4]))
    x1, y1, x2, y2, _ = columns.take(usable, axis=1)
    if not len(usable):
        return usable, usable
    cell = max(np.max(x2) - np.min(x1), np.max(y2) - np.min(y1), 1) / GRID  # pixels
    reach = 1.01 * (1 - limit) / (2 * limit) if limit > 0 else np.inf
    (x, reach_x), (y, reach_y) = (on_grid(*side, cell, reach) for side in ((x1, x2), (y1, y2)))
    order = np.argsort(x, kind="stable")  # of 16 bits: a radix sort
    own = group[usable]
    order = order[np.argsort(own[order].astype(np.min_scalar_type(own.max())), kind="stable")]
    place = x[order] + own[order].astype(np.int64) * (3 * GRID)
    behind = np.searchsorted(place, place + reach_x[order], side="right") - np.arange(1, len(place) + 1)
    one, other = (np.concatenate(part) for part in zip(*neighbours(behind, y[order], reach_y[order]), strict=True))
    order = usable[order]
    return order[one], order[other]


def on_grid(low: Floats, high: Floats, cell: float, reach: float) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Of intervals, the cells of the centres, and how many cells away another centre may be, rounding included."""
    centre = (low + high) * np.float32(0.5 / cell)
    size = np.maximum(high - low + 1, 0) * np.float32(min(reach / cell, 1e9)) + 3
    return (centre - centre.min()).astype(np.int16), np.minimum(size, GRID).astype(np.int16)


def neighbours(behind: Indices, y: NDArray[np.int16], reach: NDArray[np.int16]) -> Iterator[tuple[Indices, Indices]]:
    """Each box with those of the `behind` next ones that its height, and theirs, may reach."""
    most = int(behind.max())
    count = behind.astype(np.min_scalar_type(most))
    step = 1
    while step <= most and np.count_nonzero(count >= step) * MANY >= len(y):
        distance = np.abs(y[step:] - y[:-step])
        close = distance <= reach[step:]
        close &= distance <= reach[:-step]
        close &= count[:-step] >= step
        first = np.flatnonzero(close)
        yield first, first + step
        step += 1
    left = np.maximum(behind - step + 1, 0)
    first = np.repeat(np.arange(len(y)), left)
    second = first + step + np.arange(len(first)) - np.repeat(np.cumsum(left) - left, left)
    close = np.abs(y[first] - y[second]) <= np.minimum(reach[first], reach[second])
    yield first[close], second[close]


def resolve(keep: Flags, better: Indices, worse: Indices) -> None:
    """Takes from `keep` (N,) what goes, given the pairs (P,), (P,) that overlap too much.

    What is the worse one of no pair stays; its partners go, and their pairs with them. What then remains is resolved in
    the same way: the best box of all pairs stays each time.
    """
    while len(better):
        unsure = np.zeros(len(keep), dtype=np.bool_)
        unsure[worse] = True
        keep[worse[~unsure[better]]] = False
        left = keep[better] & keep[worse]
        better, worse = better[left], worse[left]


def suppress_on_device(boxes: Tensor, phrase: Tensor, valid: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """`suppress` for G groups of n boxes, without waiting for the device: which stay (G, n), and whether that is so.

    boxes (G, n, 4), best first; only those of one phrase (G, n) compete, and only valid ones (G, n). A set of boxes
    is the right one if, and only if, it is what it leaves: the boxes that overlap no better one of the set. ROUNDS
    rounds come to it from the set of all, unless a chain is longer, of boxes each of which takes the next away. For the
    groups of which that is true, (G,) says so.
    """
    size = max(1, AT_ONCE // max(1, boxes.shape[1]) ** 2)
    parts = [
        _suppress(*part, limit) for part in zip(boxes.split(size), phrase.split(size), valid.split(size), strict=True)
    ]
    keep, settled = zip(*parts, strict=True)
    return torch.cat(keep), torch.cat(settled)


def _suppress(boxes: Tensor, phrase: Tensor, valid: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    clash = (pairwise_iou(boxes, boxes) > limit) & (phrase[:, :, None] == phrase[:, None])
    clash = clash.triu(1)  # (G, n, n): [i, j] where i is the better one

    def left_by(keep: Tensor) -> Tensor:
        return valid & ~(clash & keep[:, :, None]).any(1)

    keep = valid
    for _ in range(ROUNDS):
        keep = left_by(keep)
    return keep, (keep == left_by(keep)).all(1)
