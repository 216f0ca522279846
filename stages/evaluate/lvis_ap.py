"""Fixed AP on a federated data set: LVIS's rule for one category, over the best boxes of all images.

LVIS (Gupta et al. 2019) knows for each image only some categories for certain: those with boxes, and those that were
looked for and are absent. A category is judged in these images alone. Where not all of its objects are boxed, a box
that matches none counts neither way. Going down the scores, at each IoU threshold, a box takes the free true box that
it overlaps most. Precision is made to fall with recall and read off at 101 points.
Dave et al. 2021 ("the devil is in the details", section 3) replace LVIS's limit of boxes an image, in which categories
compete for room, by one for each category: its 10,000 best boxes in all images, judged or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners
from stages.evaluate.detections import Detections
from stages.geometry import iou

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
POOL = 10_000
PENDING = 4_000_000  # boxes held beside the pool
ROW = np.dtype([("image", np.int32), ("category", np.int32), ("score", np.float32), ("box", np.float32, (4,))])


@dataclass
class Truth:
    """What the annotations say of one category; images by number, boxes (x1, y1, x2, y2) half-open."""

    boxes: dict[int, list[Corners]] = field(default_factory=dict)
    absent: set[int] = field(default_factory=set)  # looked for and not there
    partial: set[int] = field(default_factory=set)  # not every object has a box


class Pool:
    """The `most` best boxes of each category, of any number offered: memory does not grow with the images.

    Of boxes with equal scores, those offered first stay.
    """

    def __init__(self, most: int = POOL, pending: int = PENDING) -> None:
        self.most, self.pending = most, pending
        self._kept = np.empty(0, ROW)  # by category, best first
        self._new: list[NDArray[np.void]] = []
        self._offered = 0

    def add(self, image: int, found: Detections) -> None:
        rows = np.empty(len(found.scores), ROW)
        rows["image"], rows["category"], rows["score"], rows["box"] = (
            image, found.category, found.scores, found.boxes
        )  # fmt: skip
        self._new.append(rows)
        self._offered += len(rows)
        if self._offered > self.pending:
            self._settle()

    def best(self, category: int) -> NDArray[np.void]:
        """(N,) of ROW, best first, N at most `most`."""
        if self._new:
            self._settle()
        return self._kept[slice(*np.searchsorted(self._kept["category"], [category, category + 1]))]

    def _settle(self) -> None:
        rows = np.concatenate([self._kept, *self._new])
        rows = rows[np.lexsort((-rows["score"], rows["category"]))]
        rank = np.arange(len(rows)) - np.searchsorted(rows["category"], rows["category"])  # in its category
        self._kept, self._new, self._offered = rows[rank < self.most], [], 0


def precision_at_recalls(rows: NDArray[np.void], truth: Truth) -> NDArray[np.float64] | None:
    """rows (N,) of ROW, best first -> precision (10 IoU thresholds, 101 recalls); None for a category without boxes."""
    gold = sum(len(boxes) for boxes in truth.boxes.values())
    if not gold:
        return None
    rows = rows[np.isin(rows["image"], [*truth.boxes, *truth.absent])]
    hit = hits(rows, truth)  # (T, N)
    miss = ~hit & ~np.isin(rows["image"], list(truth.partial))
    right, wrong = np.cumsum(hit, axis=1), np.cumsum(miss, axis=1)
    precision = right / (right + wrong + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.pad(precision, ((0, 0), (0, 1)))  # a recall that is never reached has precision 0
    reached = np.stack([np.searchsorted(recall, RECALLS) for recall in right / gold])  # (T, 101)
    return np.asarray(np.take_along_axis(precision, reached, axis=1), dtype=np.float64)


def hits(rows: NDArray[np.void], truth: Truth) -> NDArray[np.bool_]:
    """(T, N): which boxes take a true box at each IoU threshold."""
    hit = np.zeros((len(IOUS), len(rows)), dtype=bool)
    order = np.argsort(rows["image"], kind="stable")
    images = rows["image"][order]
    for image, boxes in truth.boxes.items():
        own = order[slice(*np.searchsorted(images, [image, image + 1]))]
        if len(own):
            found, true = rows["box"][own].astype(np.float64), np.asarray(boxes, np.float64)
            hit[:, own] = match(iou(found[:, None], true))
    return hit


def match(overlap: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """IoU of (N boxes best first, M true boxes) -> (T, N). Of equal ones the last true box is taken, as LVIS does."""
    thresholds = np.minimum(IOUS, 1 - 1e-10)
    free = np.ones((len(IOUS), overlap.shape[1]), dtype=bool)
    hit = np.zeros((len(IOUS), len(overlap)), dtype=bool)
    for box in np.flatnonzero(overlap.max(axis=1) >= thresholds[0]):
        open_ious = np.where(free, overlap[box], -1.0)  # (T, M)
        best = overlap.shape[1] - 1 - open_ious[:, ::-1].argmax(axis=1)  # (T,)
        (level,) = np.nonzero(open_ious.max(axis=1) >= thresholds)
        hit[level, box] = True
        free[level, best[level]] = False
    return hit
