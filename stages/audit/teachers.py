"""Several teachers compared phrase by phrase: where both have a box, and whether it is the same place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from schemas.tables import LabelTable
from stages.flat import Flags, FlatBoxes, FlatPhrases, Floats, Ints
from stages.geometry import iou

STEPS = 20  # thresholds of the comparison: 0.00, 0.05 ... 1.00
THRESHOLDS = np.array([i / STEPS for i in range(STEPS + 1)])
SAME_PLACE = 0.5  # IoU
SURE = 0.5  # a score of one teacher that the other's silence is worth a look at


def best_boxes(boxes: FlatBoxes, phrases: int) -> tuple[Floats, Ints]:
    """Score of the best box of each phrase (P,), 0: none, and its index (P,), -1: none."""
    order = np.lexsort((-boxes.score, boxes.phrase))
    phrase, first = np.unique(boxes.phrase[order], return_index=True)
    best = np.full(phrases, -1, np.int64)
    best[phrase] = order[first]
    score = np.zeros(phrases)
    score[phrase] = boxes.score[best[phrase]]
    return score, best


def count_agreement(phrases: FlatPhrases, asked: Flags, labels: FlatBoxes, other: FlatBoxes) -> dict[str, Any]:
    """Of the phrases of rows that both have labelled: how many thresholds the best box of each teacher is above, and
    whether the two boxes are in the same place; counted by `first:other:same`."""
    both = asked & np.isin(phrases.row, other.rows)
    (mine, i), (theirs, j) = (best_boxes(boxes, len(phrases.row)) for boxes in (labels, other))
    same = np.zeros(len(both), np.bool_)
    two = (i >= 0) & (j >= 0)
    same[two] = iou(labels.xyxy[i[two]], other.xyxy[j[two]]) >= SAME_PLACE
    columns = (np.searchsorted(THRESHOLDS, mine), np.searchsorted(THRESHOLDS, theirs), same.astype(np.int64))
    names = zip(*(column[both].tolist() for column in columns), strict=True)
    return {
        "phrases": int(both.sum()),
        "boxes": len(other),
        "together": dict(sorted(Counter(":".join(map(str, name)) for name in names).items())),
    }


def disagreements(phrases: FlatPhrases, asked: Flags, labels: FlatBoxes, others: Iterable[LabelTable]) -> Ints:
    """Phrases of each labelled row (R,) that one teacher is sure of, and another has nothing for at all."""
    found = np.zeros(len(labels.rows), np.int64)
    mine, _ = best_boxes(labels, len(phrases.row))
    for other in (FlatBoxes.of(table, phrases) for table in others):
        theirs, _ = best_boxes(other, len(phrases.row))
        odd = ((mine > SURE) & (theirs == 0)) | ((theirs > SURE) & (mine == 0))
        odd &= asked & np.isin(phrases.row, other.rows)
        found += np.bincount(np.searchsorted(labels.rows, phrases.row[odd]), minlength=len(found))
    return found


def agreement_figures(counts: dict[str, Any]) -> dict[str, Any]:
    """The part of stats.json, by threshold, which is applied to both teachers."""
    cells = [(*map(int, name.split(":")), count) for name, count in counts["together"].items()]
    rows = []
    for step, threshold in enumerate(THRESHOLDS[:-1].tolist()):
        row = dict.fromkeys(("same_place", "elsewhere", "first_alone", "other_alone", "neither"), 0)
        for mine, theirs, same, count in cells:
            has_both, has_one = min(mine, theirs) > step, max(mine, theirs) > step
            alone = "first_alone" if mine > theirs else "other_alone"
            kind = ("same_place" if same else "elsewhere") if has_both else alone if has_one else "neither"
            row[kind] += count
        rows.append({"threshold": threshold, **row})
    return {"phrases": counts["phrases"], "boxes": counts["boxes"], "by_threshold": rows}
