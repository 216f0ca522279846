"""Numbers and sentences of the part on duplicates."""

from __future__ import annotations

import math
from typing import Any

from stages.audit.page.series import Ticks
from stages.audit.page.text import number, percent

Figures = dict[str, Any]  # `curation` of stats.json

COPIES = ("exact_duplicate", "near_duplicate")
MEASURE = {
    "min_likeness": "the correlation of their details",
    "min_cosine": "the cosine of their vectors",
}


def introduction(found: Figures) -> str:
    """What curation did, in a sentence or two."""
    text = f"Curation has kept {number(found['kept'])} of {number(found['pairs'])} pairs"
    text += f" ({percent(found['kept'], found['pairs'])})."
    if found["groups"]:
        text += (
            f" {number(found['in_groups'])} pairs are in {number(found['groups'])} groups of copies, of which the "
            "first one is kept, with the other captions of its image."
        )
    return text


def by_source(found: Figures) -> list[dict[str, Any]]:
    """Of each source: pairs, `all` that are set aside, and those of them that are copies, leaks and others."""
    rows = []
    for source in found["sources"]:
        aside = source["set_aside"]
        copies, leaks = sum(aside.get(reason, 0) for reason in COPIES), aside.get("benchmark_leak", 0)
        others = sum(aside.values()) - copies - leaks
        rows.append({**source, "all": sum(aside.values()), "copies": copies, "leaks": leaks, "others": others})
    return rows


def size_bars(found: Figures) -> tuple[list[int], Ticks, list[str]]:
    """Groups by their numbers of pairs: 2, 3 ... and the last bar all that are larger."""
    counts = found["group_sizes"]
    sizes = range(2, len(counts) + 2)
    names = [f"{size} pairs" for size in sizes[:-1]] + [f"{sizes[-1]} pairs or more"]
    marked = [size for size in sizes if size in (2, 5, 10, 15, 20)]
    return counts, [(size - 1.5, f"{size}+" if size == sizes[-1] else str(size)) for size in marked], names


def curve(found: Figures) -> list[tuple[float, float]]:
    return [(row["threshold"], row["pairs"]) for row in found["threshold"]["by_threshold"]]


def ticks(found: Figures) -> Ticks:
    """The run's own threshold, round numbers above it, and 1."""
    least = found["threshold"]["value"]
    step = 0.05 if 1 - least <= 0.3 else 0.2
    between = [round(i * step, 2) for i in range(math.ceil(least / step), round(1 / step) + 1)]
    return [(least, f"{least:g}"), *((t, f"{t:g}") for t in between if t - least > step / 3 or least < t == 1)]


def similarity_marks(found: Figures) -> list[tuple[str, float]]:
    """The run's own threshold, if it has one that is within the chart."""
    value, rows = found["similarity"]["value"], found["similarity"]["by_threshold"]
    inside = value is not None and rows[0]["threshold"] <= value <= rows[-1]["threshold"]
    return [("s1", value)] if inside else []


def note(copy: dict[str, Any], threshold: dict[str, Any] | None) -> str:
    """Why a pair is in its group."""
    if copy["reason"] == "exact_duplicate":
        return "exact copy"
    if threshold is None:
        return "near copy"
    likeness = "" if copy["likeness"] is None else f" {copy['likeness']:.3f}"
    if copy["likeness"] is None or copy["likeness"] < threshold["value"]:
        return f"by way of another{likeness}"
    return f"likeness{likeness}"


def lift(value: float) -> str:
    return f"×{value:.1f}" if value < 10 else f"×{value:,.0f}"
