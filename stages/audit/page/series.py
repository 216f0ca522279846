"""From the figures to what the charts draw: (counts, ticks, names of the bins), or the points of lines."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from stages import grid
from stages.audit.page.text import compact

Stats = dict[str, Any]
Ticks = list[tuple[float, str]]
Bars = tuple[list[int], Ticks, list[str]]


def score_ticks(stats: Stats) -> Ticks:
    """Round scores from the floor to 1."""
    low: float = stats["by_threshold"][0]["threshold"] if stats["by_threshold"] else 0.0
    return [(low, f"{low:g}"), *((t, f"{t:g}") for t in (0.3, 0.5, 0.7, 0.9) if t > low + 0.1)]


def curve(stats: Stats, name: str) -> list[tuple[float, float]]:
    return [(row["threshold"], row[name]) for row in stats["by_threshold"]]


def agreement_lines(stats: Stats) -> list[tuple[str, list[tuple[float, float]]]]:
    rows = stats["gold"]["by_threshold"]
    return [
        (name, [(row["threshold"], row[name]) for row in rows if row[name] is not None])
        for name in ("precision", "recall")
    ]


def judged_lines(stats: Stats) -> list[tuple[str, list[tuple[float, float]]]]:
    """Precision by what people judged, and against gold where there is some."""
    judged = [(row["threshold"], row["precision"]) for row in stats["judged"]["by_threshold"]]
    return [("judged", judged), *(agreement_lines(stats)[:1] if stats["gold"] else [])]


def judged_band(stats: Stats) -> list[tuple[float, float, float]]:
    return [(row["threshold"], row["low"], row["high"]) for row in stats["judged"]["by_threshold"]]


def calibration(stats: Stats) -> list[tuple[float, float]]:
    return [((b["above"] + b["up_to"]) / 2, b["precision"]) for b in stats["gold"]["calibration"]]


def ranked(stats: Stats) -> list[tuple[str, list[list[int]]]]:
    """Counts by rank: kept boxes where there are any, and mentions in captions."""
    names = {"boxes": "kept boxes", "seen": "mentions"}
    return [(text, stats["rank_frequency"][name]) for name, text in names.items() if stats["rank_frequency"][name]]


def rank_ticks(lines: list[tuple[str, list[list[int]]]]) -> Ticks:
    last = max(points[-1][0] for _, points in lines)
    return [(10.0**k, compact(10**k)) for k in range(10) if 10**k <= max(last, 10)]


def count_bars(counts: list[int], most: int) -> Bars:
    """Bars for 0, 1 ... up to `most` or more, fewer where nothing lies beyond."""
    last = max((i for i, count in enumerate(counts) if count), default=0)
    most = min(most, max(last, 1))
    shown = [*counts[:most], sum(counts[most:])]
    names = [str(i) for i in range(most)] + [f"{most} or more" if last > most else str(most)]
    step = max(1, round(most / 8))
    ticks = [(i + 0.5, f"{i}+" if i == most and last > most else str(i)) for i in range(0, most + 1, step)]
    return shown, ticks, names


def score_bars(stats: Stats) -> Bars:
    """Bins of 0.02 from the floor up."""
    counts = stats["histograms"]["score_labelled"]
    start = _score_start(stats)
    pairs = [sum(counts[i : i + 2]) for i in range(start, 100, 2)]
    names = [f"{i / 100:g} to {(i + 2) / 100:g}" for i in range(start, 100, 2)]
    ticks = [((t * 100 - start) / 2, f"{t:g}") for t in (0.1, 0.3, 0.5, 0.7, 0.9) if t * 100 >= start]
    return pairs, ticks, names


def score_mark(stats: Stats) -> float:
    """Where the filter's threshold lies, in bins of `score_bars`."""
    return max((float(stats["min_score"]) * 100 - _score_start(stats)) / 2, 0.0)


def _score_start(stats: Stats) -> int:
    return int(stats["score_floor"] * 100 + 1e-6) // 2 * 2


def size_bars(stats: Stats) -> Bars:
    return share_bars(stats["histograms"]["side_share"])


def share_bars(counts: list[int]) -> Bars:
    """Even bins of 0..1."""
    n = len(counts)
    ticks = [(n * t, f"{t:g}") for t in (0, 0.25, 0.5, 0.75, 1)]
    return counts, ticks, [f"{i / n:g} to {(i + 1) / n:g}" for i in range(n)]


def kept_by_gap(stats: Stats) -> list[tuple[float, float]]:
    return [(row["limit"], row["boxes"]) for row in stats["masks"]["by_limit"]]


def aspect_bars(stats: Stats) -> Bars:
    counts = stats["histograms"]["aspect"]
    edges = grid.ASPECT_EDGES.tolist()
    names = [f"{a:.2f} to {b:.2f}" for a, b in pairwise(edges)]
    ticks = [(0.0, "1:16"), (4.0, "1:4"), (8.0, "1:1"), (12.0, "4:1"), (16.0, "16:1")]
    return counts, ticks, names


def two_curves(result: Stats, name: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """After and before, by threshold."""
    rows = result["by_threshold"]
    return [(side, [(row["threshold"], row[side][name]) for row in rows]) for side in ("after", "before")]


def scatter(stats: Stats) -> tuple[list[list[int]], Ticks, Ticks]:
    """Cells of the scatter of both scores, with ticks across (scores) and down (cosines)."""
    found = stats["scores"]["scatter"]
    edges = found["cosine_edges"]
    down = [(float(edges.index(t)), f"{t:g}") for t in _round_between(edges[-1], edges[0]) if t in edges]
    return found["boxes"], [(t * 25, f"{t:g}") for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)], down


def rule(rows: list[Stats], what: str) -> list[tuple[float, float]]:
    """What each threshold of a rule would keep."""
    return [(row["threshold"], row[what]) for row in rows]


def combined(stats: Stats) -> list[tuple[str, list[tuple[float, float]]]]:
    """By combined score: with the boxes' own phrases, and where rescore has looked for them with the best ones."""
    scores = stats["scores"]
    lines = [("own phrase", rule(scores["by_combined"], "boxes"))]
    return [
        *lines,
        *([("best phrase", rule(scores["relabelled"]["by_combined"], "boxes"))] if "relabelled" in scores else []),
    ]


def marks(stats: Stats, name: str) -> list[tuple[str, float]]:
    """Where the filter's own threshold lies, if it has one for this rule and it is within the chart."""
    rules, scores = stats["scores"]["rules"], stats["scores"]
    if name == "min_score":
        return [("s1", stats["min_score"])] if rules["combine"] != "none" else []
    if rules[name] is None or (name == "min_image_score" and rules["combine"] != "none"):
        return []
    thresholds = [row["threshold"] for row in scores["by_region" if name == "min_region_score" else "by_image"]]
    return [("s1", rules[name])] if thresholds and thresholds[0] <= rules[name] <= thresholds[-1] else []


def cosine_ticks(rows: list[Stats]) -> Ticks:
    """Round cosines within the thresholds of a rule."""
    return [(t, f"{t:g}") for t in _round_between(rows[0]["threshold"], rows[-1]["threshold"])] if rows else []


def _round_between(low: float, high: float) -> list[float]:
    """Two to six round numbers."""
    step = next(step for step in (0.02, 0.04, 0.1, 0.2, 0.5) if (high - low) / step <= 6)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 2) for i in range(first, last + 1)]


def teacher_rows(stats: Stats, name: str) -> list[Stats]:
    """The comparison at every tenth from the floor up, and the one that the filter's threshold lies at."""
    rows: list[Stats] = stats["teachers"][name]["by_threshold"]
    floor, chosen = stats["score_floor"], _nearest(rows, stats["min_score"])
    return [
        {**row, "own": row is chosen}
        for row in rows
        if row is chosen or (round(row["threshold"] * 20) % 2 == 0 and row["threshold"] >= floor - 1e-9)
    ]


def _nearest(rows: list[Stats], threshold: float) -> Stats:
    return min(rows, key=lambda row: abs(row["threshold"] - threshold))
