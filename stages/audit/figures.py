"""From merged summaries to the figures of report/stats.json. docs/audit.md describes every key."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stages import grid
from stages.audit.masks import with_limits
from stages.audit.merge import Merged
from stages.audit.phrase_tables import phrase_tables
from stages.audit.second_opinion import opinion_figures
from stages.audit.terms import Totals
from stages.audit.vocabulary import Category
from stages.flat import Ints
from stages.hashes import hash_texts

HEAD = 100  # ranks whose counts are those of known phrases, at any size


def figures(merged: Merged, score_floor: float, min_score: float) -> dict[str, Any]:
    """The content of stats.json, warnings excepted; JSON-able."""
    phrases = merged.terms["phrases"]
    return {
        "version": 1,
        "parts": {"planned": merged.planned, "counted": len(merged.parts), **merged.counters.get("datasets", {})},
        "score_floor": score_floor,
        "min_score": min_score,
        **_funnel(merged),
        "unique_phrases": _distinct(phrases, "boxes"),
        "unique_phrases_in_captions": _distinct(phrases, "seen"),
        "unique_heads": _distinct(merged.terms["heads"], "boxes"),
        "exactness": exactness(merged),
        "rejected": {s: dict(sorted(r.items())) for s, r in sorted(merged.counters.get("rejected", {}).items()) if r},
        "dropped": {d: dict(sorted(r.items())) for d, r in sorted(merged.counters.get("dropped", {}).items()) if r},
        **{name: merged.counters[name] for name in ("side_tables",) if name in merged.counters},
        **({"masks": with_limits(merged.counters["masks"])} if "masks" in merged.counters else {}),
        "by_threshold": by_threshold(merged, score_floor),
        "histograms": histograms(merged),
        "box_shapes": box_shapes(merged),
        "phrases_tables": phrase_tables(phrases),
        "rank_frequency": {name: rank_frequency(phrases, phrases.columns[name]) for name in ("boxes", "seen")},
        "vocabularies": {
            name: coverage(phrases, merged.terms["heads"], names) for name, names in merged.vocabularies.items()
        },
        "duplicates": duplicates(merged),
        "gold": agreement(merged, score_floor, min_score),
        "judged": None,  # by people; the report fills it in where they have
        **opinion_figures(merged.counters, merged.compared, min_score),
    }


def _funnel(merged: Merged) -> dict[str, Any]:
    boxes, with_boxes, grounded = (merged.count(n) for n in ("boxes", "pairs_with_boxes", "phrases_grounded"))
    names = ("pairs", "pairs_with_image", "pairs_with_phrases", "pairs_with_any_box", "pairs_with_boxes")
    more = ("phrases", "phrases_asked", "phrases_grounded", "boxes_labelled", "boxes")
    return {
        **{name: merged.count(name) for name in names + more},
        "boxes_per_image": _ratio(boxes, with_boxes),
        "boxes_per_phrase": _ratio(boxes, grounded),
        "other_script": merged.count("other_script"),
        "languages": languages(merged),
    }


def languages(merged: Merged) -> list[dict[str, Any]]:
    """Captions by language and script, most first."""
    found = merged.counters.get("languages", {})
    rows = [(count, language, script) for script, counts in found.items() for language, count in counts.items()]
    total = sum(count for count, *_ in rows)
    return [
        {"language": language, "script": script, "captions": count, "share": count / total}
        for count, language, script in sorted(rows, key=lambda row: (-row[0], *row[1:]))
    ]


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def _distinct(totals: Totals, column: str) -> int:
    return totals.distinct(totals.columns[column] > 0)


def exactness(merged: Merged) -> dict[str, Any]:
    """Which figures are exact and which come from a sketch, with its error."""
    phrases = merged.terms["phrases"]
    kept = phrases.columns["boxes"] > 0
    return {
        "unique_phrases": {
            "exact": phrases.exact,
            "sampled_share": phrases.theta / 2.0**64,
            "relative_standard_error": phrases.relative_error(kept),
            "relative_error_95": 1.96 * phrases.relative_error(kept),
        },
        "unique_heads": {"exact": merged.terms["heads"].exact},
        "phrase_counts": {"exact": phrases.undercount == 0, "undercount_at_most": phrases.undercount},
        "duplicates": {"exact": merged.terms["image_captions"].exact},
    }


def by_threshold(merged: Merged, score_floor: float) -> list[dict[str, Any]]:
    """What score > threshold would keep of labels/, on the grid of 0.01 from the floor up; no other rule applied."""
    if not merged.has("labels"):
        return []
    boxes = grid.above(np.array(merged.histogram("label_scores")))
    pairs = grid.above(np.array(merged.histogram("pair_best_scores")))
    phrases = merged.terms["phrases"]
    best = np.bincount(phrases.columns["best"][phrases.sampled], minlength=102)
    unique = np.round(grid.above(best) / (phrases.theta / 2.0**64)).astype(np.int64)
    return [
        {"threshold": t, "pairs": int(pairs[i]), "boxes": int(boxes[i]), "unique_phrases": int(unique[i])}
        for i, t in enumerate(grid.THRESHOLDS.tolist())
        if i >= math.ceil(round(score_floor * 100, 6))
    ]


def histograms(merged: Merged) -> dict[str, Any]:
    """Counts; the edges of each are in docs/audit.md and in `stages/grid.py`."""
    names = ("boxes_per_image", "boxes_per_phrase", "phrases_per_pair", "side_share", "aspect")
    found = {name: merged.histogram(name) for name in names}
    return {
        **found,
        "score_labelled": _score_bins(merged.histogram("label_scores")),
        "score_kept": _score_bins(merged.histogram("kept_scores")),
        "heat": np.reshape(merged.histogram("heat"), (grid.HEAT_CELLS, -1)).tolist()
        if merged.histogram("heat")
        else [],
    }


def _score_bins(passed: list[int]) -> list[int]:
    """100 bins, the i-th one of scores in (i/100, (i+1)/100]; a score of exactly 0 joins the first."""
    return [passed[0] + passed[1], *passed[2:101]] if passed else []


def box_shapes(merged: Merged) -> dict[str, Any]:
    boxes = merged.count("boxes")
    small, medium, large = merged.histogram("coco_sizes") or (0, 0, 0)
    return {
        "small": small,
        "medium": medium,
        "large": large,
        "whole_image": merged.count("whole_image_boxes"),
        "whole_image_share": _ratio(merged.count("whole_image_boxes"), boxes),
        "near_duplicates": merged.count("near_duplicate_boxes"),
        "near_duplicate_share": _ratio(merged.count("near_duplicate_boxes"), boxes),
    }


def rank_frequency(phrases: Totals, counts: Ints) -> list[list[int]]:
    """[rank, count] of phrases in descending order of a count above 0, at ranks spaced evenly on a log scale.

    Beyond exact counting the first HEAD ranks come from the heaviest phrases, the others from the even sample: its
    i-th phrase stands for the rank i / (share sampled).
    """
    ordered = np.sort(counts[counts > 0])[::-1]
    if phrases.exact:
        return [[rank, int(ordered[rank - 1])] for rank in log_spaced(1, len(ordered))]
    head = [[rank, int(ordered[rank - 1])] for rank in log_spaced(1, min(HEAD, len(ordered)))]
    sample = np.sort(counts[phrases.sampled & (counts > 0)])[::-1]
    scale = 2.0**64 / phrases.theta
    tail = [[round(i * scale), int(sample[i - 1])] for i in log_spaced(math.ceil(HEAD / scale), len(sample))]
    return head + [point for point in tail if point[0] > HEAD and point[1] <= head[-1][1]]


def log_spaced(first: int, last: int) -> list[int]:
    """Whole numbers from `first` to `last`, at most 120, evenly spaced on a log scale."""
    if last < first:
        return []
    spaced: list[int] = np.unique(np.geomspace(first, last, 120).round().astype(np.int64)).tolist()
    return spaced


def coverage(phrases: Totals, heads: Totals, categories: list[Category]) -> dict[str, Any]:
    """Categories that occur as a whole phrase or as the head of one: in captions, and with how many kept boxes."""
    boxes = _most(phrases, heads, categories, "boxes")
    return {
        "names": len(categories),
        "in_captions": sum(count > 0 for count in _most(phrases, heads, categories, "seen")),
        "found": sum(count > 0 for count in boxes),
        "found_10": sum(count >= 10 for count in boxes),
        "found_100": sum(count >= 100 for count in boxes),
        "missing": sorted(name for (name, _), count in zip(categories, boxes) if not count),
    }


def _most(phrases: Totals, heads: Totals, categories: list[Category], column: str) -> list[int]:
    """For each category the highest count that one of its texts has, as a phrase or as a head."""
    texts = [text for _, texts in categories for text in texts]
    hashes = hash_texts(texts)
    counts = dict(zip(texts, np.maximum(_of(phrases, hashes, column), _of(heads, hashes, column)).tolist()))
    return [max(counts[text] for text in texts) for _, texts in categories]


def _of(totals: Totals, hashes: Any, column: str) -> Ints:
    """A count of each hash, 0 where the table does not have it."""
    if not len(totals.columns["hash"]):
        return np.zeros(len(hashes), np.int64)
    known = totals.columns["hash"]
    order = np.argsort(known, kind="stable")  # sample and heavy rows are each in order, not together
    at = np.minimum(np.searchsorted(known, hashes, sorter=order), len(known) - 1)
    return np.where(known[order[at]] == hashes, totals.columns[column][order[at]], 0)


def duplicates(merged: Merged) -> dict[str, Any]:
    """Pairs that repeat an earlier caption, image, or both: pairs less distinct ones."""
    result: dict[str, Any] = {}
    for kind in ("captions", "images", "image_captions"):
        total = merged.count("pairs") if kind == "captions" else merged.count("pairs_with_image")
        distinct = min(merged.terms[kind].distinct(), total)
        result[kind] = {"distinct": distinct, "repeats": total - distinct, "share": _ratio(total - distinct, total)}
    return result


def agreement(merged: Merged, score_floor: float, min_score: float) -> dict[str, Any] | None:
    """Precision and recall by threshold and calibration, where gold exists; the rule is in stages/agreement.py."""
    gold = merged.counters.get("gold")
    if not gold or not gold["boxes"]:
        return None
    judged, matched, unjudged = (grid.above(np.array(gold[name])) for name in ("judged", "matched", "unjudged"))
    rows = [
        {
            "threshold": t,
            "precision": _ratio(int(matched[i]), int(judged[i])),
            "recall": matched[i] / gold["boxes"],
            "judged": int(judged[i]),
            "matched": int(matched[i]),
            "unjudged": int(unjudged[i]),
        }
        for i, t in enumerate(grid.THRESHOLDS.tolist())
        if i >= math.ceil(round(score_floor * 100, 6))
    ]
    return {
        "pairs": gold["pairs"],
        "boxes": gold["boxes"],
        "named": gold["named"],
        "categories": len(gold["categories"]),
        "by_threshold": rows,
        "at_min_score": next((row for row in rows if row["threshold"] >= min_score), None),
        "calibration": _calibration(_score_bins(gold["judged"]), _score_bins(gold["matched"])),
    }


def _calibration(judged: list[int], matched: list[int], width: int = 5) -> list[dict[str, Any]]:
    """Bins of 0.05 in score: how many boxes, and the share of them that is right."""
    bins = []
    for start in range(0, 100, width):
        total, right = sum(judged[start : start + width]), sum(matched[start : start + width])
        if total:
            edges = {"above": start / 100, "up_to": (start + width) / 100}
            bins.append({**edges, "boxes": total, "matched": right, "precision": right / total})
    return bins
