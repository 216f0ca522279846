"""How labels agree with true boxes, where a source has them. The rule is that of `phrasebox evaluate`.

A phrase names the true span that it overlaps in the caption; of several the one with the longest overlap, then the
first. In each image, going down the scores, a labelled box is right when it has IoU >= 0.5 with a true box of the span
that its phrase names, and that true box has not been claimed yet; it claims the one with the highest IoU. Every other
box is wrong. Precision at a threshold: right boxes above it among all boxes above it. Recall: claimed true boxes among
all true boxes of the labelled images.

A true box without a span (COCO instances) is named by a phrase whose norm or head is its category; in an image with
such boxes only phrases that name one of the image's categories are judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from stages.audit import grid
from stages.audit.boxes import iou
from stages.audit.flat import Boxes, Flags, Floats, Ints, Phrases, Tables, combined, list_lengths, numbers, rows_of

MATCH_IOU = 0.5


@dataclass(frozen=True)
class Gold:
    """True boxes of a part, flat (N,), and the spans that they belong to, flat (S,)."""

    rows: Ints  # of the gold table
    row: Ints  # (N,)
    span: Ints  # (N,) index into the flat spans, -1: none
    xyxy: Floats  # (N, 4)
    category: Any  # (N,) lower case, objects
    span_row: Ints  # (S,)
    start: Ints  # (S,)
    end: Ints  # (S,)


@dataclass(frozen=True)
class Judgement:
    """Per labelled box: whether it is judged at all, and whether it is right."""

    judged: Flags
    right: Flags
    gold: Gold


def read_gold(tables: Tables) -> Gold:
    table = tables.read("gold", ["key", "spans", "boxes"])
    rows = rows_of(table["key"])
    spans, boxes = combined(table["spans"]), combined(table["boxes"])
    flat, lengths, span_lengths = boxes.flatten(), list_lengths(boxes), list_lengths(spans)
    number = numbers(pc.fill_null(flat.field("span"), -1))
    first = np.repeat(np.cumsum(span_lengths) - span_lengths, lengths)
    return Gold(
        rows=rows,
        row=np.repeat(rows, lengths),
        span=np.where(number >= 0, first + number, -1),
        xyxy=np.stack([numbers(flat.field(c)).astype(np.float64) for c in ("x1", "y1", "x2", "y2")], axis=1),
        category=numbers(pc.utf8_lower(pc.fill_null(flat.field("category"), ""))),
        span_row=np.repeat(rows, span_lengths),
        start=numbers(spans.flatten().field("start")).astype(np.int64),
        end=numbers(spans.flatten().field("end")).astype(np.int64),
    )


def judge(tables: Tables, phrases: Phrases, labels: Boxes) -> Judgement:
    gold = read_gold(tables)
    label_i, gold_i = _same_row(labels.row, gold.row)
    named = _named_span(phrases, gold)[labels.phrase[label_i]]
    by_span = gold.span[gold_i] >= 0
    same = np.where(by_span, named == gold.span[gold_i], _is_category(phrases, labels.phrase[label_i], gold, gold_i))
    judged = np.isin(labels.row, gold.rows)
    judged &= ~np.isin(labels.row, gold.row[gold.span < 0])
    judged[label_i[same & ~by_span]] = True
    overlap = iou(labels.xyxy[label_i], gold.xyxy[gold_i])
    fits = same & (overlap >= MATCH_IOU)
    return Judgement(judged, _claim(labels, label_i[fits], gold_i[fits], overlap[fits]), gold)


def figures(labels: Boxes, judgement: Judgement) -> dict[str, Any]:
    """Judged and right boxes by `grid.passed`, and how many true boxes there are in how many labelled images."""
    passed, gold = grid.passed(labels.score), judgement.gold
    return {
        "pairs": len(np.intersect1d(gold.rows, labels.rows)),
        "boxes": int(np.isin(gold.row, labels.rows).sum()),
        "judged": np.bincount(passed[judgement.judged], minlength=102).tolist(),
        "matched": np.bincount(passed[judgement.right & judgement.judged], minlength=102).tolist(),
    }


def best_errors(labels: Boxes, judgement: Judgement) -> Floats:
    """The highest score of a wrong box in each labelled row (R,), 0 where there is none."""
    wrong = judgement.judged & ~judgement.right
    best = np.zeros(len(labels.rows))
    np.maximum.at(best, np.searchsorted(labels.rows, labels.row[wrong]), labels.score[wrong])
    return best


def _same_row(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """All index pairs (i, j) with left[i] == right[j]; both ascend."""
    starts = np.searchsorted(right, left, side="left")
    counts = np.searchsorted(right, left, side="right") - starts
    i = np.repeat(np.arange(len(left)), counts)
    return i, np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts - starts, counts)


def _named_span(phrases: Phrases, gold: Gold) -> Ints:
    """For each phrase (P,) the index of the true span that it names, -1: none."""
    phrase, span = _same_row(phrases.row, gold.span_row)
    common = np.minimum(phrases.end[phrase], gold.end[span]) - np.maximum(phrases.start[phrase], gold.start[span])
    order = np.lexsort((-span, common))  # the longest overlap last, the first span after later ones
    order = order[common[order] > 0]
    named = np.full(len(phrases.row), -1, np.int64)
    named[phrase[order]] = span[order]  # the last one written stays
    return named


def _is_category(phrases: Phrases, phrase: Ints, gold: Gold, gold_i: Ints) -> Flags:
    category = gold.category[gold_i]
    if not (gold.span[gold_i] < 0).any():
        return np.zeros(len(phrase), np.bool_)
    named: Flags = (numbers(phrases.norm.take(phrase)) == category) | (numbers(phrases.head.take(phrase)) == category)
    return named


def _claim(labels: Boxes, label_i: Ints, gold_i: Ints, overlap: Floats) -> Flags:
    """Which labels are right (N,): by descending score each takes the free true box of the highest IoU."""
    right = np.zeros(len(labels), np.bool_)
    taken: set[int] = set()
    order = np.lexsort((gold_i, -overlap, label_i, -labels.score[label_i]))
    for label, true in zip(label_i[order].tolist(), gold_i[order].tolist()):
        if not right[label] and true not in taken:
            right[label] = True
            taken.add(true)
    return right
