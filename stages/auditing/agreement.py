"""How labels agree with true boxes, where a source has them.

The rule. A labelled box matches a true box of its image when their IoU is at least 0.5 and their phrases are the same:
the labelled phrase's span contains the true span, or lies inside it. A true box without a span (COCO instances) matches
a phrase whose norm or head is its category. In each image labelled boxes take their matches in the order of their
scores, the best IoU first; a true box is matched once. Precision at a threshold: matched boxes above it among all boxes
above it. Recall: matched true boxes among all true boxes of the labelled images. In an image whose truth has no spans,
only phrases that name one of the image's categories are judged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from stages.auditing import grid
from stages.auditing.boxes import iou
from stages.auditing.flat import Boxes, Flags, Floats, Ints, Phrases, Tables, combined, list_lengths, rows_of

MATCH_IOU = 0.5


class Gold:
    """True boxes of a part, flat: row, span (-1, -1 where there is none), category and box of each."""

    def __init__(self, tables: Tables) -> None:
        table = tables.read("gold", ["key", "spans", "boxes"])
        self.rows = rows_of(table["key"])
        spans, boxes = combined(table["spans"]), combined(table["boxes"])
        flat, lengths = boxes.flatten(), list_lengths(boxes)
        self.row: Ints = np.repeat(self.rows, lengths)
        self.xyxy: Floats = np.stack(
            [flat.field(c).to_numpy(zero_copy_only=False).astype(np.float64) for c in ("x1", "y1", "x2", "y2")], axis=1
        )
        self.category = pc.utf8_lower(pc.fill_null(flat.field("category"), "")).to_numpy(zero_copy_only=False)
        number = pc.fill_null(flat.field("span"), -1).to_numpy(zero_copy_only=False).astype(np.int64)
        first = np.repeat(np.cumsum(list_lengths(spans)) - list_lengths(spans), lengths)
        has = number >= 0
        self.start: Ints = np.full(len(number), -1, np.int64)
        self.end: Ints = np.full(len(number), -1, np.int64)
        for target, name in ((self.start, "start"), (self.end, "end")):
            column = spans.flatten().field(name).to_numpy(zero_copy_only=False).astype(np.int64)
            target[has] = column[(first + number)[has]]


def figures(tables: Tables, phrases: Phrases, labels: Boxes) -> dict[str, Any]:
    """Counts on the grid of thresholds: judged boxes and matched boxes by `grid.passed`, and the true boxes."""
    gold = Gold(tables)
    label_i, gold_i, overlap = _candidates(phrases, labels, gold)
    matched = _greedy(labels, label_i, gold_i, overlap)
    judged = _judged(phrases, labels, gold)
    passed = grid.passed(labels.score)
    return {
        "pairs": len(np.intersect1d(gold.rows, labels.rows)),
        "boxes": int(np.isin(gold.row, labels.rows).sum()),
        "judged": np.bincount(passed[judged], minlength=102).tolist(),
        "matched": np.bincount(passed[matched & judged], minlength=102).tolist(),
    }


def _candidates(phrases: Phrases, labels: Boxes, gold: Gold) -> tuple[Ints, Ints, Floats]:
    """All (label, gold) index pairs of the same image and phrase with IoU >= 0.5, and the IoU."""
    starts = np.searchsorted(gold.row, labels.row, side="left")
    counts = np.searchsorted(gold.row, labels.row, side="right") - starts
    label_i = np.repeat(np.arange(len(labels)), counts)
    gold_i = np.arange(len(label_i)) - np.repeat(np.cumsum(counts) - counts - starts, counts)
    overlap = iou(labels.xyxy[label_i], gold.xyxy[gold_i])
    near = overlap >= MATCH_IOU
    label_i, gold_i, overlap = label_i[near], gold_i[near], overlap[near]
    same = _same_phrase(phrases, labels.phrase[label_i], gold, gold_i)
    return label_i[same], gold_i[same], overlap[same]


def _same_phrase(phrases: Phrases, phrase: Ints, gold: Gold, gold_i: Ints) -> Flags:
    start, end = phrases.start[phrase], phrases.end[phrase]
    true_start, true_end = gold.start[gold_i], gold.end[gold_i]
    inside = ((start <= true_start) & (true_end <= end)) | ((true_start <= start) & (end <= true_end))
    return np.where(true_start >= 0, inside, _named(phrases, phrase, gold.category[gold_i]))


def _named(phrases: Phrases, phrase: Ints, category: Any) -> Flags:
    norm = phrases.norm.take(phrase).to_numpy(zero_copy_only=False)
    head = phrases.head.take(phrase).to_numpy(zero_copy_only=False)
    named: Flags = (norm == category) | (head == category)
    return named


def _greedy(labels: Boxes, label_i: Ints, gold_i: Ints, overlap: Floats) -> Flags:
    """Which labels are matched (N,), one to one, by descending score, then descending IoU."""
    matched = np.zeros(len(labels), np.bool_)
    taken: set[int] = set()
    order = np.lexsort((gold_i, -overlap, label_i, -labels.score[label_i]))
    for label, true in zip(label_i[order].tolist(), gold_i[order].tolist()):
        if not matched[label] and true not in taken:
            matched[label] = True
            taken.add(true)
    return matched


def _judged(phrases: Phrases, labels: Boxes, gold: Gold) -> Flags:
    judged: Flags = np.isin(labels.row, gold.rows)
    spanless = np.unique(gold.row[gold.start < 0])
    for i in np.flatnonzero(np.isin(labels.row, spanless)):
        here = slice(*np.searchsorted(gold.row, [labels.row[i], labels.row[i] + 1]))
        names = set(gold.category[here])
        phrase = labels.phrase[i]
        judged[i] = phrases.norm[phrase].as_py() in names or phrases.head[phrase].as_py() in names
    return judged
