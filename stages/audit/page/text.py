"""Numbers and sentences of the page."""

from __future__ import annotations

from typing import Any

from schemas.reasons import ALL
from stages.audit.checks import Check

# What others report, counted by them. Sources: the GLIP paper (section 4.2), Kosmos-2 (GRIT), YOLO-World (CC3M-Lite).
REFERENCES = (
    {"name": "GLIP, Cap24M", "pairs": 24_000_000, "boxes": 78_100_000, "unique": 58_400_000, "per_image": 3.25},
    {"name": "GRIT", "pairs": 90_600_000, "boxes": 137_300_000, "unique": None, "per_image": 1.52},
    {"name": "CC3M-Lite", "pairs": 246_363, "boxes": 820_629, "unique": None, "per_image": 3.33},
)


def number(value: float | None, digits: int = 2) -> str:
    """1,234 or 3.25; an en dash for what does not exist."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def compact(value: float | None) -> str:
    """1,234 as it is; 24M, 78.1M, 12.3k from 10,000 up."""
    if value is None:
        return "–"
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= max(size, 10_000):
            return f"{value / size:.1f}".removesuffix(".0") + unit
    return f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def funnel(stats: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps from source rows to kept boxes, as far as the run has come."""
    ingest = sum(stats["rejected"].get("ingest", {}).values())
    steps = [
        ("rows of the source", stats["pairs"] + ingest, "pairs"),
        ("pairs", stats["pairs"], "pairs"),
        *((f"kept by {name}", stats["pairs"] - count, "pairs") for name, count in set_aside(stats).items()),
        ("with an image", stats["pairs_with_image"], "pairs"),
        ("with a phrase", stats["pairs_with_phrases"], "phrases"),
        (f"with a box at the floor of {stats['score_floor']:g}", stats["pairs_with_any_box"], "labels"),
        ("with a kept box", stats["pairs_with_boxes"], "pseudo"),
    ]
    if stats["parts"].get("labels") and not stats["phrases_asked"]:
        steps = steps[:-2]
    whole = steps[0][1]
    return [
        {"label": label, "count": count, "share": count / whole if whole else 0.0}
        for label, count, dataset in steps
        if stats["parts"].get(dataset)
    ]


def set_aside(stats: dict[str, Any]) -> dict[str, int]:
    """How many rows each side table does not keep, where that is what it says."""
    tables = stats.get("side_tables", {})
    return {name: sum(table["set_aside"].values()) for name, table in tables.items() if "set_aside" in table}


def grounded(stats: dict[str, Any]) -> bool:
    """Whether phrases could get boxes: the filter ran, and the teacher was asked for something."""
    return bool(stats["parts"].get("pseudo") and stats["phrases_asked"])


def meaning(reason: str) -> str:
    return ALL.get(reason, "a reason that this version does not know")


def headline(stats: dict[str, Any]) -> str:
    if stats["boxes"]:
        return f"{compact(stats['boxes'])} boxes for {compact(stats['unique_phrases'])} phrases"
    if stats["phrases"]:
        return f"{compact(stats['phrases'])} phrases in {compact(stats['pairs'])} captions"
    return f"{compact(stats['pairs'])} pairs"


def standfirst(stats: dict[str, Any]) -> str:
    """One paragraph that says what the run holds."""
    with_phrase = percent(stats["pairs_with_phrases"], stats["pairs"])
    if stats["parts"].get("labels") and not stats["phrases_asked"]:
        why = "there is no phrase to ask for" if stats["pairs_with_image"] else "no pair has an image"
        return (
            f"{number(stats['pairs'])} captions, {with_phrase} of them with at least one noun phrase. "
            f"There are no labels: {why}."
        )
    if stats["parts"].get("labels") and not stats["parts"].get("pseudo"):
        with_box = percent(stats["pairs_with_any_box"], stats["pairs"])
        return f"{number(stats['pairs'])} pairs, {with_box} of them with a labelled box; they are not filtered yet."
    if not stats["parts"].get("pseudo"):
        return (
            f"{number(stats['pairs'])} captions so far, {with_phrase} of them with at least one noun phrase; "
            "no labels yet."
        )
    kept = percent(stats["pairs_with_boxes"], stats["pairs"])
    grounded = percent(stats["phrases_grounded"], stats["phrases_asked"])
    sentence = (
        f"Of {number(stats['pairs'])} image–caption pairs, {kept} have at least one box that scores above "
        f"{stats['min_score']:g} and passed the filter. The teacher found {grounded} of the "
        f"{number(stats['phrases_asked'])} phrases it was asked for"
    )
    if stats["boxes_per_image"]:
        sentence += f"; an image with any box has {stats['boxes_per_image']:.2f} of them"
    return sentence + "."


def unique(stats: dict[str, Any], name: str) -> str:
    """A number of distinct phrases, marked where it is an estimate."""
    mark = "" if stats["exactness"]["unique_phrases"]["exact"] else "≈ "
    return mark + number(stats[name])


def counted(stats: dict[str, Any]) -> str:
    """Which figures are exact, in words."""
    phrases = stats["exactness"]["unique_phrases"]
    if phrases["exact"]:
        return "Every figure on this page is exact."
    return (
        "Counts, histograms and thresholds are exact. Numbers of unique phrases are estimates from an even sample of "
        f"all phrases, within ±{phrases['relative_error_95']:.2%} at 95% confidence; counts of single phrases may be "
        f"too low by at most {stats['exactness']['phrase_counts']['undercount_at_most']:,}."
    )


TEACHER_TABLES = (
    ("most_asked", "Asked for most often"),
    ("least_agreed", "Found most differently"),
)
TABLES = (
    ("most_mentioned", "Most often in captions", "seen", "by mentions"),
    ("most_frequent", "Most frequent", "boxes", "by kept boxes"),
    ("rarest", "The far end of the tail", "boxes", "with the fewest kept boxes, drawn evenly"),
    (
        "most_often_ungrounded",
        "Asked for, hardly ever found",
        "grounded",
        "asked 20 times or more, found in at most 10%",
    ),
    ("most_often_several", "Most often several boxes", "several", "how often one mention got two boxes or more"),
)
BUDGET_TEXT = "24 MB"


def tables(stats: dict[str, Any]) -> tuple[tuple[str, str, str, str], ...]:
    """Name, title, column and explanation of the tables of phrases: by boxes, or by mentions where there are none."""
    return TABLES[1:] if grounded(stats) else TABLES[:1]


AT_LEAST = (  # others: at most
    *("parts_missing", "stage_incomplete", "no_images", "no_boxes"),
    *("teacher_recall", "teacher_boxes", "gold_precision"),
)


def usual(check: Check) -> str:
    """The band of a figure, in words."""
    if isinstance(check.limit, list):
        return f"{check.limit[0]:g} to {check.limit[1]:g}"
    text = number(check.limit) if isinstance(check.limit, int) else f"{check.limit:.0%}"
    return f"at {'least' if check.code in AT_LEAST else 'most'} {text}"


def measured(check: Check) -> str:
    """The figure itself, as its band is written."""
    if isinstance(check.limit, list):
        return number(check.value)
    return number(check.value) if isinstance(check.limit, int) else f"{check.value:.1%}"


def setting(value: Any) -> str:
    """A value of the config; an en dash for none."""
    return "–" if value is None else str(value)


SHARE_NAMES = {
    "rejected": "rows rejected, all stages",
    "phrases_grounded": "phrases with a kept box, of those asked for",
    "whole_image": "boxes that cover the whole image",
    "near_duplicates": "boxes that nearly coincide with another phrase's",
    "small_boxes": "small boxes (under 32 × 32 pixels)",
    "gold_precision": "precision against gold",
    "gold_recall": "recall against gold",
}


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def points(change: float | None) -> str:
    """The change of a share, in percentage points."""
    if change is None:
        return "–"
    return f"{100 * change:+.1f}".replace("-", "−") if abs(change) >= 0.0005 else "0"


def signed(change: float | None) -> str:
    if change is None:
        return "–"
    return f"{change:+.1%}".replace("-", "−") if change else "0"


def change_headline(result: dict[str, Any]) -> str:
    boxes = result["figures"]["boxes"]
    if boxes["before"] == boxes["after"]:
        return "As many boxes as before"
    more = "more" if boxes["after"] > boxes["before"] else "fewer"
    return f"{compact(abs(boxes['after'] - boxes['before']))} {more} boxes"


def change_standfirst(result: dict[str, Any]) -> str:
    """What changed, in one paragraph."""
    figures, phrases = result["figures"], result["phrases"]
    boxes, density = figures["boxes"], figures["boxes_per_image"]
    return (
        f"Before: {number(boxes['before'])} boxes, {number(density['before'])} per image. After: "
        f"{number(boxes['after'])} boxes, {number(density['after'])} per image. {number(phrases['gained'])} phrases "
        f"were gained, {number(phrases['lost'])} lost."
    )


def judged(figures: dict[str, Any]) -> list[tuple[str, float, dict[str, Any]]]:
    """(name, share, its row) of what people's judgements say at the filter's threshold, as far as they reach."""
    rows = {
        "precision": (figures["at_min_score"], "precision"),
        **{f"of {name} phrases": (row, "precision") for name, row in figures["by_frequency_at_min_score"].items()},
        "recall": (figures["recall_at_min_score"], "recall"),
        **{
            f"{what} of {name}": (own[f"{key}at_min_score"], what)
            for name, own in figures.get("by_teacher", {}).items()
            for what, key in (("precision", ""), ("recall", "recall_"))
        },
        "phrases whose thing is in the image": (figures["visible"], "share"),
    }
    return [(name, row[key], row) for name, (row, key) in rows.items() if row is not None]
