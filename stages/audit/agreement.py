"""How labels agree with true boxes, where a source has them: the rule of `stages/agreement.py`, over a part.

Precision at a threshold: right boxes above it among all boxes above it. Recall: claimed true boxes among all true boxes
of the labelled images.

A true box without a span (COCO instances) is named by a phrase whose norm or head is its category; in an image with
such boxes only phrases that name one of the image's categories are judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from stages.agreement import claim, named_spans, same_row
from stages.audit import grid
from stages.flat import Flags, FlatBoxes, FlatGold, FlatPhrases, Floats, Ints


@dataclass(frozen=True)
class Judgement:
    """Per labelled box: whether it is judged at all, and whether it is right."""

    judged: Flags
    right: Flags
    named: Flags  # per true box: whether a phrase of its caption names it
    gold: FlatGold


def judge(phrases: FlatPhrases, labels: FlatBoxes, gold: FlatGold) -> Judgement:
    label_i, gold_i = same_row(labels.row, gold.row)
    named = named_spans(phrases.characters, gold.spans)[labels.phrase[label_i]]
    by_span = gold.span[gold_i] >= 0
    same = np.where(by_span, named == gold.span[gold_i], _is_category(phrases, labels.phrase[label_i], gold, gold_i))
    judged = np.isin(labels.row, gold.rows)
    judged &= ~np.isin(labels.row, gold.row[gold.span < 0])
    judged[label_i[same & ~by_span]] = True
    claims = claim(labels.xyxy, labels.score, gold.xyxy, (label_i[same], gold_i[same]))
    return Judgement(judged, claims.right, _named(phrases, gold), gold)


def figures(labels: FlatBoxes, judgement: Judgement) -> dict[str, Any]:
    """Judged and right boxes by `grid.passed`, and how many true boxes there are in how many labelled images."""
    passed, gold = grid.passed(labels.score), judgement.gold
    labelled = np.isin(gold.row, labels.rows)
    return {
        "pairs": len(np.intersect1d(gold.rows, labels.rows)),
        "boxes": int(labelled.sum()),
        "named": int((labelled & judgement.named).sum()),
        "judged": np.bincount(passed[judgement.judged], minlength=102).tolist(),
        "matched": np.bincount(passed[judgement.right & judgement.judged], minlength=102).tolist(),
    }


def best_errors(labels: FlatBoxes, judgement: Judgement) -> Floats:
    """The highest score of a wrong box in each labelled row (R,), 0 where there is none."""
    wrong = judgement.judged & ~judgement.right
    best = np.zeros(len(labels.rows))
    np.maximum.at(best, np.searchsorted(labels.rows, labels.row[wrong]), labels.score[wrong])
    return best


def _named(phrases: FlatPhrases, gold: FlatGold) -> Flags:
    """Whether a phrase of its caption names each true box (M,)."""
    phrase, box = same_row(phrases.row, gold.row)
    by_category = (gold.span[box] < 0) & _is_category(phrases, phrase, gold, box)
    named = (gold.span >= 0) & np.isin(gold.span, named_spans(phrases.characters, gold.spans))
    named[box[by_category]] = True
    return named


def _is_category(phrases: FlatPhrases, phrase: Ints, gold: FlatGold, gold_i: Ints) -> Flags:
    """Whether each phrase (P,) is called as the category of a true box (P,)."""
    if not (gold.span[gold_i] < 0).any():
        return np.zeros(len(phrase), np.bool_)
    category = gold.category.take(gold_i)
    named = pc.or_(pc.equal(phrases.norm.take(phrase), category), pc.equal(phrases.head.take(phrase), category))
    flags: Flags = named.to_numpy(zero_copy_only=False)
    return flags
