"""Several teachers compared phrase by phrase: where both have a box, and whether it is the same place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.audit.phrase_tables import OFTEN, highest
from stages.audit.terms import COMPARED, Totals, compare_terms
from stages.flat import Flags, FlatBoxes, FlatPhrases, Floats, Ints
from stages.geometry import iou

STEPS = 20  # thresholds of the comparison: 0.00, 0.05 ... 1.00
THRESHOLDS = np.array([i / STEPS for i in range(STEPS + 1)])
SAME_PLACE = 0.5  # IoU
COLUMNS = ("seen", *COMPARED)
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


class Compared(NamedTuple):
    """The C phrases that two teachers were asked for, by the best box of each."""

    phrase: Ints  # (C,) index into the flat phrases
    first: Floats  # (C,) score of the first teacher's, 0: none
    other: Floats  # (C,)
    same_place: Flags  # (C,) both have one, and the two overlap
    boxes: int  # of the other teacher, in all


def compare(asked: Flags, labels: FlatBoxes, other: FlatBoxes) -> Compared:
    """`asked`: which phrases (P,) both teachers were asked for."""
    both = np.flatnonzero(asked)
    (mine, i), (theirs, j) = (best_boxes(boxes, len(asked)) for boxes in (labels, other))
    same = np.zeros(len(asked), np.bool_)
    two = (i >= 0) & (j >= 0)
    same[two] = iou(labels.xyxy[i[two]], other.xyxy[j[two]]) >= SAME_PLACE
    return Compared(both, mine[both], theirs[both], same[both], len(other))


def count_agreement(compared: Compared) -> dict[str, Any]:
    """How many thresholds the best box of each teacher is above, and whether the two boxes are in the same place;
    counted by `first:other:same`."""
    steps = (np.searchsorted(THRESHOLDS, score).tolist() for score in (compared.first, compared.other))
    names = zip(*steps, compared.same_place.astype(np.int64).tolist(), strict=True)
    return {
        "phrases": len(compared.phrase),
        "boxes": compared.boxes,
        "together": dict(sorted(Counter(":".join(map(str, name)) for name in names).items())),
    }


def count_by_phrase(phrases: FlatPhrases, compared: Compared, min_score: float) -> pa.Table:
    """The same of each distinct phrase, at one threshold for both teachers: the columns `COMPARED` of terms.py."""
    first, other = compared.first > min_score, compared.other > min_score
    both = first & other
    flags = (first, other, both, both & compared.same_place)
    return compare_terms(phrases.norm.take(compared.phrase), dict(zip(COMPARED, flags, strict=True)))


def disagreements(phrases: FlatPhrases, rows: Ints, others: Iterable[Compared]) -> Ints:
    """Phrases of each labelled row (R,) that one teacher is sure of, and another has nothing for at all."""
    found = np.zeros(len(rows), np.int64)
    for own in others:
        odd = ((own.first > SURE) & (own.other == 0)) | ((own.other > SURE) & (own.first == 0))
        found += np.bincount(np.searchsorted(rows, phrases.row[own.phrase[odd]]), minlength=len(rows))
    return found


def agreement_figures(counts: dict[str, Any], by_phrase: Totals, min_score: float) -> dict[str, Any]:
    """The part of stats.json: by threshold, which is applied to both teachers, and by phrase at `min_score`."""
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
    tables = {"threshold": min_score, **phrase_figures(by_phrase)}
    return {"phrases": counts["phrases"], "boxes": counts["boxes"], "by_threshold": rows, "by_phrase": tables}


def phrase_figures(totals: Totals) -> dict[str, list[dict[str, Any]]]:
    """The phrases that both were asked for most often, and those of many findings that they agree on least."""
    found = found_by_any(totals)
    shared = totals.columns["same_place"] / np.maximum(found, 1)
    seen = totals.columns["seen"]
    tables = {
        "most_asked": highest(totals, seen, seen > 0, COLUMNS),
        "least_agreed": highest(totals, -shared, found >= OFTEN, COLUMNS),
    }
    return {name: [with_agreement(row) for row in rows] for name, rows in tables.items()}


def found_by_any(totals: Totals) -> Ints:
    """How often each phrase has a box of the one teacher, the other or both."""
    first, other, both = (totals.columns[name] for name in ("first", "other", "both"))
    found: Ints = first + other - both
    return found


def with_agreement(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table: `agreement` is the share of findings that are in the same place; None: nothing was found."""
    counts = {name: row[name] for name in COMPARED}
    found = row["first"] + row["other"] - row["both"]
    agreement = row["same_place"] / found if found else None
    return {"phrase": row["phrase"], "asked": row["seen"], **counts, "agreement": agreement}
