"""What rescore says of the boxes of a part, and how the filter combines it with the teacher's scores.

YOLO-World (Cheng et al. 2024, appendix B) has CLIP look at GLIP's labels: a box may go to the phrase of its caption
that fits its crop best, its score becomes the geometric mean of both models' scores, and an image is kept by the
geometric mean of how well it fits its caption and of how well its kept boxes fit their phrases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.items import Boxes, Flags, flags
from schemas.tables import LabelTable, ScoreTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Opinion:
    """Cosines of the R images with their captions and of the N boxes with their phrases; NaN: there is none."""

    image: Floats  # (R,)
    region: Floats  # (N,)

    @classmethod
    def none(cls, labels: LabelTable) -> Opinion:
        return cls(np.full(len(labels), np.nan), np.full(len(labels.boxes), np.nan))


def needs_scores(rules: Any) -> str:
    """The first of the rules (the filter section) that needs the scores of rescore; "" where none does."""
    asked = {
        "relabel": rules.relabel,
        "combine": rules.combine != "none",
        "min_region_score": rules.min_region_score is not None,
        "min_image_score": rules.min_image_score is not None,
    }
    return next((name for name, wanted in asked.items() if wanted), "")


def with_opinion(labels: LabelTable, boxes: Boxes, scores: ScoreTable | None, rules: Any) -> tuple[Boxes, Opinion]:
    """The boxes with the phrases and scores that the rules act on, and what rescore says of them.

    Raises ValueError where scores do not lie beside the labels.
    """
    if scores is None:
        return boxes, Opinion.none(labels)
    scored = aligned(labels, scores)  # (R,)
    opinion, best = Opinion.none(labels), np.full(len(boxes), -1, np.int32)
    own = scored[boxes.row]  # (N,) boxes of rows with scores
    opinion.image[scored] = scores.image
    found = scores.boxes
    best[own] = found.best_phrase if rules.relabel else -1
    opinion.region[own] = np.where(best[own] >= 0, found.best_score, found.score)
    boxes = replace(boxes, phrase=np.where(best >= 0, best, boxes.phrase).astype(np.int32))
    if rules.combine == "geometric":
        boxes = replace(boxes, score=geometric(boxes.score, opinion.region).astype(np.float32))
    return boxes, opinion


def aligned(labels: LabelTable, scores: ScoreTable) -> Flags:
    """Which rows of labels have scores (R,): rescore may have rejected some. Raises ValueError where it has others."""
    scored: Flags = flags(pc.is_in(labels.key, value_set=scores.key))
    if not labels.key.filter(scored).equals(scores.key):
        raise ValueError("scores has other keys than labels, or has them in another order")
    if not np.array_equal(labels.boxes.lengths[scored], scores.boxes.lengths):
        raise ValueError("scores has other boxes than labels")
    return scored


def image_scores(opinion: Opinion, boxes: Boxes, kept: Flags, combine: str) -> Floats:
    """What `min_image_score` is about (R,): the image's own score; with `combine`, the geometric mean of that and of
    the mean score of its kept regions; NaN where there is none."""
    if combine == "none":
        return opinion.image
    row, counted = boxes.row[kept], len(opinion.image)
    total = np.bincount(row, opinion.region[kept], minlength=counted)
    number = np.bincount(row, minlength=counted)
    mean = np.divide(total, number, out=np.full(counted, np.nan), where=number > 0)
    return geometric(opinion.image, mean)


def geometric(a: NDArray[Any], b: NDArray[Any]) -> Floats:
    """The geometric mean; a cosine below zero, of two that do not fit at all, counts as zero."""
    mean: Floats = np.sqrt(np.maximum(a.astype(np.float64), 0) * np.maximum(b.astype(np.float64), 0))
    return mean
