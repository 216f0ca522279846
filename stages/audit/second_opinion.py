"""What rescore and further teachers say beside the teacher: counted in a part, and as figures of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from schemas.tables import LabelTable, ScoreTable
from stages import grid
from stages.audit.teachers import Compared, agreement_figures, count_agreement
from stages.audit.terms import Totals
from stages.filter.second_opinion import aligned, geometric
from stages.flat import Ints

Counts = dict[str, Any]
BIN = 2  # steps of the cosines' grid, and
SCORE_BIN = 4  # of the scores' grid, in a cell of the scatter


def count_opinions(labels: LabelTable, scores: ScoreTable | None, others: Mapping[str, Compared]) -> Counts:
    """`scores`, where rescore has any, and `teachers`, where there are others."""
    found: Counts = {}
    if scores is not None:
        found["scores"] = count_scores(labels, scores)
    if others:
        found["teachers"] = {name: count_agreement(compared) for name, compared in others.items()}
    return found


def opinion_figures(counters: Mapping[str, Any], by_phrase: Mapping[str, Totals], min_score: float) -> dict[str, Any]:
    """The same of all parts, as stats.json has it. `by_phrase`: of each further teacher."""
    found: dict[str, Any] = {}
    if "scores" in counters:
        found["scores"] = score_figures(counters["scores"], min_score)
    if "teachers" in counters:
        compared = sorted(counters["teachers"].items())
        found["teachers"] = {name: agreement_figures(own, by_phrase[name], min_score) for name, own in compared}
    return found


def count_scores(labels: LabelTable, scores: ScoreTable) -> Counts:
    """Of the scored boxes, how many have each pair of score and cosine, by `grid.passed` and `grid.passed_cosine`; the
    same for their combined score, and for the cosines of images."""
    boxes, own = labels.boxes, aligned(labels, scores)[labels.boxes.row]  # (N,) boxes of rows with scores
    region, best, best_phrase = np.full(len(boxes), np.nan), np.full(len(boxes), np.nan), np.full(len(boxes), -1)
    region[own], best[own], best_phrase[own] = scores.boxes.score, scores.boxes.best_score, scores.boxes.best_phrase
    scored = ~np.isnan(region)
    score = boxes.score.astype(np.float64)
    passed = [grid.passed(score[scored]).tolist(), grid.passed_cosine(region[scored]).tolist()]
    image = scores.image[~np.isnan(scores.image)].astype(np.float64)
    found: Counts = {
        "images": len(image),
        "boxes": int(scored.sum()),
        "unscored": int((~scored).sum()),
        "together": dict(sorted(Counter(f"{a}:{b}" for a, b in zip(*passed, strict=True)).items())),
        "combined": np.bincount(grid.passed(geometric(score, region)[scored]), minlength=102).tolist(),
        "image": np.bincount(grid.passed_cosine(image), minlength=len(grid.COSINES) + 1).tolist(),
    }
    if (asked := scored & (best_phrase >= 0)).any():
        combined = geometric(score, best)[asked]
        moved = asked & (best_phrase != boxes.phrase)
        found["relabelled"] = {
            "boxes": int(moved.sum()),
            "combined": np.bincount(grid.passed(combined), minlength=102).tolist(),
        }
    return found


def score_figures(counts: Counts, min_score: float) -> dict[str, Any]:
    """The part of stats.json: what each rule would keep by itself, and the scatter."""
    together = _together(counts)
    sure = min(int(np.ceil(round(min_score * 100, 6))), 100)  # the first threshold of the grid from min_score up
    regions = together[sure + 1 :].sum(0)  # of boxes above it
    found: dict[str, Any] = {name: counts[name] for name in ("images", "boxes", "unscored")}
    found |= {
        "by_region": by_cosine(regions, "boxes"),
        "by_image": by_cosine(np.array(counts["image"]), "pairs"),
        "by_combined": _by_score(counts["combined"]),
        "scatter": _scatter(together),
    }
    if "relabelled" in counts:
        relabelled = counts["relabelled"]
        found["relabelled"] = {"boxes": relabelled["boxes"], "by_combined": _by_score(relabelled["combined"])}
    return found


def _together(counts: Counts) -> Ints:
    """(102, 202): scored boxes by thresholds passed of score and of cosine."""
    cells = np.zeros((102, len(grid.COSINES) + 1), np.int64)
    for place, count in counts["together"].items():
        score, cosine = map(int, place.split(":"))
        cells[score, cosine] = count
    return cells


def by_cosine(passed: Ints, what: str) -> list[dict[str, Any]]:
    """How many lie above each threshold, from the last one that all are above to the first that none is."""
    above, total = passed[::-1].cumsum()[::-1][1:], int(passed.sum())
    if not total:
        return []
    first, last = int((above == total).sum()) - 1, int((above > 0).sum())
    span = range(max(first, 0), min(last + 1, len(grid.COSINES)))
    return [{"threshold": float(grid.COSINES[i]), what: int(above[i])} for i in span]


def _by_score(passed: list[int]) -> list[dict[str, Any]]:
    above = grid.above(np.array(passed))
    return [{"threshold": t, "boxes": int(above[i])} for i, t in enumerate(grid.THRESHOLDS.tolist())]


def _scatter(together: Ints) -> dict[str, Any]:
    """Boxes in cells of 0.04 in score by 0.02 in cosine, the highest cosines first, without empty rows at the ends."""
    fine = together[1:101, 1:-1].copy()  # bins (i / 100, (i + 1) / 100] of scores, and the same of cosines
    fine[0] += together[0, 1:-1]
    fine[-1] += together[101, 1:-1]
    fine[:, 0] += np.r_[together[0, 0] + together[1, 0], together[2:101, 0]]
    cells = fine.reshape(100 // SCORE_BIN, SCORE_BIN, -1, BIN).sum((1, 3)).T  # (cosine, score), lowest first
    rows = np.flatnonzero(cells.any(1))
    if not len(rows):
        return {"cosine_edges": [], "boxes": []}
    low, high = int(rows[0]), int(rows[-1]) + 1
    edges = (grid.COSINES[0] + np.arange(low, high + 1) * BIN / 100).round(2).tolist()
    return {"cosine_edges": edges[::-1], "boxes": cells[low:high][::-1].tolist()}
