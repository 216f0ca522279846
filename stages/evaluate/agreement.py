"""Do labels agree with true boxes on the same images? Precision, recall, mean IoU and calibration by score threshold.

The rule. A phrase names a gold span when the two overlap in the caption; of several gold spans it is the one with the
longest overlap, then the first. In each image, going down the scores, a box is right when it has IoU >= 0.5 with a
gold box of the span that its phrase names, and that gold box has not been claimed yet; it claims the one with the
highest IoU. Every other box is wrong: on a phrase that names no gold span, on one that is mentioned but not in the
image, a second box on the same thing. Precision is right boxes over boxes, recall is claimed gold boxes over gold
boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IOU = 0.5
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(2, 19))  # 0.10 ... 0.90
BINS = 10


@dataclass
class Tally:
    """Every judged box of a set of images: its score, whether it is right, its IoU; and the number of gold boxes."""

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    gold: int = 0

    def at(self, threshold: float) -> dict[str, float]:
        """Boxes with score > threshold against all gold boxes."""
        scores, right = np.asarray(self.scores), np.asarray(self.right, dtype=bool)
        above = scores > threshold
        hits = int((above & right).sum())
        ious = np.asarray(self.ious)[above & right]
        return {
            "threshold": threshold,
            "boxes": int(above.sum()),
            "right": hits,
            "gold": self.gold,
            "precision": hits / max(1, int(above.sum())),
            "recall": hits / max(1, self.gold),
            "mean_iou": float(ious.mean()) if len(ious) else 0.0,
        }

    def curve(self) -> list[dict[str, float]]:
        return [self.at(threshold) for threshold in THRESHOLDS]

    def calibration(self) -> list[dict[str, float]]:
        """Per score bin: how many boxes, their mean score, and the share that is right."""
        scores, right = np.asarray(self.scores), np.asarray(self.right, dtype=bool)
        rows = []
        for i in range(BINS):
            inside = (scores > i / BINS) & (scores <= (i + 1) / BINS)
            if inside.any():
                rows.append(
                    {
                        "from": i / BINS,
                        "to": (i + 1) / BINS,
                        "boxes": int(inside.sum()),
                        "mean_score": float(scores[inside].mean()),
                        "share_right": float(right[inside].mean()),
                    }
                )
        return rows


def span_named(phrase: tuple[int, int], gold: Sequence[tuple[int, int]]) -> int:
    """Index of the gold span that a phrase names, or -1."""
    overlaps = [min(phrase[1], end) - max(phrase[0], start) for start, end in gold]
    best = max(range(len(gold)), key=lambda i: (overlaps[i], -i), default=-1)
    return best if best >= 0 and overlaps[best] > 0 else -1


def judge(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    named: NDArray[np.int64],
    gold_boxes: NDArray[np.float32],
    gold_span: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """One image. boxes (N, 4), scores (N,), named (N,): gold span of each box's phrase or -1; gold (M, 4), (M,).

    Returns right (N,) and the IoU (N,) with the claimed gold box, 0 for the others.
    """
    right = np.zeros(len(boxes), dtype=bool)
    best = np.zeros(len(boxes), dtype=np.float32)
    iou = box_iou(boxes, gold_boxes)  # (N, M)
    free = np.ones(len(gold_boxes), dtype=bool)
    for i in np.argsort(-scores, kind="stable"):
        open_ious = np.where(free & (gold_span == named[i]) & (named[i] >= 0), iou[i], 0.0)  # (M,)
        if len(open_ious) and open_ious.max() >= IOU:
            claimed = int(open_ious.argmax())
            free[claimed] = False
            right[i], best[i] = True, open_ious[claimed]
    return right, best


def box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 4), (M, 4) half-open -> (N, M)."""
    corners = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.prod(np.clip(corners[1] - corners[0], 0, None), axis=2)  # (N, M)
    area_a = np.prod(a[:, 2:] - a[:, :2], axis=1)
    area_b = np.prod(b[:, 2:] - b[:, :2], axis=1)
    return np.asarray(inner / np.maximum(area_a[:, None] + area_b[None] - inner, 1e-9), dtype=np.float32)
