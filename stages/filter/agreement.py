"""What several teachers agree on: a box of the first one stays where enough others have a box of the same phrase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc

from schemas.items import Boxes, Flags, Ints, numbers, offsets_of
from schemas.tables import LabelTable
from stages.agreement import same_row
from stages.geometry import iou


def agreeing(boxes: Boxes, others: Sequence[Boxes], rules: Any) -> Ints:
    """How many teachers have each box (N,), the first one, whose it is, included. `others`: of the same rows as boxes,
    by `beside`; `rules`: the filter section."""
    count = np.ones(len(boxes), np.int64)
    for other in others:
        count += matched(boxes, other.keep(other.score.astype(np.float64) > rules.agree_min_score), rules.agree_iou)
    return count


def matched(boxes: Boxes, others: Boxes, limit: float) -> Flags:
    """Which boxes (N,) have one of the same row and phrase among the others (M,) that overlaps by an IoU of `limit` or
    more."""
    phrases = 1 + max([0, *boxes.phrase.tolist(), *others.phrase.tolist()])
    mine, theirs = (own.row * phrases + own.phrase for own in (boxes, others))
    order = np.argsort(theirs, kind="stable")
    left, right = same_row(mine, theirs[order])
    right = order[right]
    close = iou(boxes.xyxy[left].astype(np.float64), others.xyxy[right].astype(np.float64)) >= limit
    found = np.zeros(len(boxes), np.bool_)
    found[left[close]] = True
    return found


def beside(labels: LabelTable, other: LabelTable) -> Boxes:
    """Boxes of another teacher in the rows of labels; none in rows that only one of the two has labelled."""
    place = numbers(pc.index_in(other.key, value_set=labels.key)).astype(np.int64)  # (S,) row of labels, -1: none
    known = other.boxes.keep(place[other.boxes.row] >= 0)  # rows of both rise with their keys
    lengths = np.zeros(len(labels), np.int64)
    lengths[place[place >= 0]] = known.lengths[place >= 0]
    return replace(known, offsets=offsets_of(lengths))
