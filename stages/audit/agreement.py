"""How labels agree with true boxes, where a source has them: the rule of `stages/agreement.py`, over a part.

Precision at a threshold: right boxes above it among all boxes above it. Recall: claimed true boxes among all true boxes
of the labelled images.

A true box without a span (COCO instances) is named by a phrase whose norm or head is its category. In an image with
such boxes, or with none at all, a phrase is judged when it names any category of the vocabulary: those that the source
lists, and those that true boxes show anywhere in the run. So a zebra beside a true dog is a mistake; a sky, which
nobody looked for, is not judged. A part does not know the vocabulary of the run, so that its boxes on phrases that name
nothing in their image wait (`waiting`) until all parts are added up (`settle`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import grid
from stages.agreement import claim, named_spans, same_row
from stages.flat import Flags, FlatBoxes, FlatGold, FlatPhrases, Floats, Ints


@dataclass(frozen=True)
class Judgement:
    """Per labelled box: whether it is judged at all, whether it is right, and whether the vocabulary decides that it is
    judged; it is wrong then. Per true box: whether a phrase of its caption names it."""

    judged: Flags
    right: Flags
    waits: Flags
    named: Flags
    gold: FlatGold


def judge(phrases: FlatPhrases, labels: FlatBoxes, gold: FlatGold) -> Judgement:
    label_i, gold_i = same_row(labels.row, gold.row)
    named = named_spans(phrases.characters, gold.spans)[labels.phrase[label_i]]
    by_span = gold.span[gold_i] >= 0
    same = np.where(by_span, named == gold.span[gold_i], _is_category(phrases, labels.phrase[label_i], gold, gold_i))
    has_gold = np.isin(labels.row, gold.rows)
    judged = has_gold & ~np.isin(labels.row, rows_of_categories(gold))
    judged[label_i[same]] = True
    claims = claim(labels.xyxy, labels.score, gold.xyxy, (label_i[same], gold_i[same]))
    return Judgement(judged, claims.right, has_gold & ~judged, _named(phrases, gold), gold)


def rows_of_categories(gold: FlatGold) -> Ints:
    """The rows (N,) in which true boxes are named by categories: with a box without a span, or with nothing at all."""
    empty = gold.rows[~np.isin(gold.rows, np.union1d(gold.row, gold.spans.row))]
    return np.union1d(gold.row[gold.span < 0], empty)


def figures(labels: FlatBoxes, judgement: Judgement) -> dict[str, Any]:
    """Judged and right boxes by `grid.passed`, and how many true boxes there are in how many labelled images."""
    passed, gold = grid.passed(labels.score), judgement.gold
    labelled = np.isin(gold.row, labels.rows)
    return {
        "pairs": len(np.intersect1d(gold.rows, labels.rows)),
        "boxes": int(labelled.sum()),
        "named": int((labelled & judgement.named).sum()),
        "unjudged": np.bincount(passed[judgement.waits], minlength=102).tolist(),
        "categories": _categories(gold),
        "judged": np.bincount(passed[judgement.judged], minlength=102).tolist(),
        "matched": np.bincount(passed[judgement.right & judgement.judged], minlength=102).tolist(),
    }


def waiting(phrases: FlatPhrases, labels: FlatBoxes, judgement: Judgement) -> pa.Table:
    """The boxes that wait, counted by `norm`, `head`, `in_empty` (the image has no true box at all) and `passed`."""
    boxes = np.flatnonzero(judgement.waits)
    phrase = labels.phrase[boxes]
    columns = {
        "norm": phrases.norm.take(phrase),
        "head": phrases.head.take(phrase),
        "in_empty": ~np.isin(labels.row[boxes], judgement.gold.row),
        "passed": grid.passed(labels.score[boxes]),
    }
    by_name = pa.table(columns).group_by(list(columns), use_threads=False).aggregate([([], "count_all")])
    return by_name.rename_columns([*columns, "boxes"])


def settle(gold: dict[str, Any], waited: Iterable[pa.Table]) -> None:
    """Judge what waits, in `figures` added up over all parts, by the vocabulary of the run.

    Without any category in the run, an image with no true box has none of what its caption names: all is wrong there.
    """
    vocabulary = pa.array(sorted(gold["categories"]), pa.string())
    for table in waited:
        wrong = names_any(table["norm"], table["head"], vocabulary)
        if not len(vocabulary):
            wrong = table["in_empty"].to_numpy()
        counts = np.bincount(table["passed"].to_numpy()[wrong], table["boxes"].to_numpy()[wrong], minlength=102)
        gold["judged"] = (np.array(gold["judged"]) + counts.astype(np.int64)).tolist()
        gold["unjudged"] = (np.array(gold["unjudged"]) - counts.astype(np.int64)).tolist()


def best_errors(phrases: FlatPhrases, labels: FlatBoxes, judgement: Judgement) -> Floats:
    """The highest score of a wrong box in each labelled row (R,), 0: there is none. By the vocabulary of the part."""
    vocabulary = pa.array(sorted(_categories(judgement.gold)), pa.string())
    named = names_any(phrases.norm, phrases.head, vocabulary)[labels.phrase]
    wrong = (judgement.judged | (judgement.waits & named)) & ~judgement.right
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


def names_any(norm: pa.Array, head: pa.Array, vocabulary: pa.Array) -> Flags:
    """Which phrases (P,) name a category of the vocabulary."""
    flags: Flags = np.logical_or(*(pc.is_in(text, vocabulary).to_numpy(zero_copy_only=False) for text in (norm, head)))
    return flags


def _categories(gold: FlatGold) -> dict[str, int]:
    """True boxes without a span by their category, with the categories that were looked for and have none."""
    names = gold.category.filter(pa.array(gold.span < 0))
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(names).to_pylist() if entry["values"]}
    return dict.fromkeys(gold.looked_for, 0) | counts


def _is_category(phrases: FlatPhrases, phrase: Ints, gold: FlatGold, gold_i: Ints) -> Flags:
    """Whether each phrase (P,) is called as the category of a true box (P,)."""
    if not (gold.span[gold_i] < 0).any():
        return np.zeros(len(phrase), np.bool_)
    category = gold.category.take(gold_i)
    named = pc.or_(pc.equal(phrases.norm.take(phrase), category), pc.equal(phrases.head.take(phrase), category))
    flags: Flags = named.to_numpy(zero_copy_only=False)
    return flags
