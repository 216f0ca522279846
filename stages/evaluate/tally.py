"""Figures of the boxes that `stages/agreement.py` has judged: precision, recall, mean IoU and calibration by score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.agreement import Claims

THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(2, 19))  # 0.10 ... 0.90
BINS = 10


@dataclass
class Tally:
    """Every judged box of a set of images: its score, whether it is right, its IoU; and the number of gold boxes."""

    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    gold: int = 0

    def add(self, scores: NDArray[np.floating[Any]], claims: Claims, where: NDArray[np.bool_], gold: int) -> None:
        """Boxes (N,) with what they have claimed, those of them that `where` (N,) picks, and how many gold boxes."""
        self.scores += scores[where].tolist()
        self.right += claims.right[where].tolist()
        self.ious += claims.iou[where].tolist()
        self.gold += gold

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
