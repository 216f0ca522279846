"""Which labelled boxes agree with true boxes: the one rule of `phrasebox audit` and `phrasebox evaluate`.

A phrase names the true span that it overlaps in the caption; of several the one with the longest overlap, then the
first. In each image, going down the scores, a labelled box is right when it has IoU >= 0.5 with a true box of the span
that its phrase names, and that true box has not been claimed yet; it claims the one with the highest IoU. Every other
box is wrong: on a phrase that names no true span, on one that is mentioned but not in the image, a second box on the
same thing. Precision is right boxes over boxes, recall is claimed true boxes over true boxes.

All arrays are flat, of any number of images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.geometry import Floats, iou

MATCH_IOU = 0.5

Ints = NDArray[np.int64]


class Characters(NamedTuple):
    """Spans [start, end) of the captions of some rows, (N,) each; rows rise."""

    row: NDArray[np.integer[Any]]
    start: NDArray[np.integer[Any]]
    end: NDArray[np.integer[Any]]

    @classmethod
    def of_one_row(cls, spans: Sequence[tuple[int, int]]) -> Characters:
        start, end = np.asarray(spans, np.int64).reshape(-1, 2).T
        return cls(np.zeros(len(spans), np.int64), start, end)


class Claims(NamedTuple):
    """Of labelled boxes (N,): the true box that each has claimed, -1 for a wrong box, and its IoU with it, else 0."""

    gold: Ints
    iou: Floats

    @property
    def right(self) -> NDArray[np.bool_]:
        return self.gold >= 0


def named_spans(phrases: Characters, spans: Characters) -> Ints:
    """The index of the true span (S,) that each phrase (P,) names, -1: none."""
    phrase, span = same_row(phrases.row, spans.row)
    common = np.minimum(phrases.end[phrase], spans.end[span]) - np.maximum(phrases.start[phrase], spans.start[span])
    order = np.lexsort((-span, common))  # the longest overlap last, the first span after later ones
    order = order[common[order] > 0]
    named = np.full(len(phrases.row), -1, np.int64)
    named[phrase[order]] = span[order]  # the last one written stays
    return named


def claim(xyxy: Floats, score: Floats, gold_xyxy: Floats, pairs: tuple[Ints, ...]) -> Claims:
    """Going down the scores (N,), each box (N, 4) takes the free true box (M, 4) of the highest IoU.

    `pairs`: the (P,) labelled and (P,) true boxes that may match, for what they name and the image that they are in.
    """
    box, gold = pairs
    overlap = iou(xyxy[box], gold_xyxy[gold])  # (P,)
    close = overlap >= MATCH_IOU
    box, gold, overlap = box[close], gold[close], overlap[close]
    claims = Claims(np.full(len(xyxy), -1, np.int64), np.zeros(len(xyxy), overlap.dtype))
    taken: set[int] = set()
    for at in np.lexsort((gold, -overlap, box, -score[box])).tolist():
        if claims.gold[box[at]] < 0 and int(gold[at]) not in taken:
            claims.gold[box[at]], claims.iou[box[at]] = gold[at], overlap[at]
            taken.add(int(gold[at]))
    return claims


def same_row(left: NDArray[Any], right: NDArray[Any]) -> tuple[Ints, Ints]:
    """All index pairs (i, j) with left[i] == right[j]; both rise."""
    starts = np.searchsorted(right, left, side="left")
    counts = np.searchsorted(right, left, side="right") - starts
    i = np.repeat(np.arange(len(left)), counts)
    return i, np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts - starts, counts)
