"""From the cells of benchmarks/selftrain.py to one result, and its plots as SVG."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from stages.sources.scenes import NOUNS

TIERS = ("common", "rare", "unseen")
ROLES = ("teacher", "student", "upper_bound")
COLOURS = {"common": "#1b7f79", "rare": "#c2410c", "unseen": "#6d4fc2"}
GOALS = {"rare_gain": 5.0, "common_loss": -0.5, "gap_closed": 0.5}

Cell = dict[str, Any]


def collect(cells: list[Cell], grid: Mapping[str, Any], out: Path, plots: Path) -> None:
    """Writes the result and the plots of what is there; a role without a cell is null."""
    whole = [cell for cell in cells if steps_of(cell) == grid["steps"]]
    main = {role: [cell for cell in whole if cell["role"] == role] for role in ROLES}
    students = main["student"]
    first = grid["seeds"][0]
    main["student"] = [
        cell for cell in students if (cell["threshold"], cell["web"]) == (grid["threshold"], grid["web"])
    ]
    by_threshold = [cell for cell in students if cell["seed"] == first and cell["web"] == grid["web"]]
    by_size = [cell for cell in students if cell["seed"] == first and cell["threshold"] == grid["threshold"]]
    result = {
        "what": "AP in percent on held-out scenes, mean over seeds; docs/selftraining.md defines it",
        "command": "python benchmarks/selftrain.py run; python benchmarks/selftrain.py collect",
        **{role: figures(own) for role, own in main.items()},
        "verdict": verdict(main),
        "mentioned": figures([cell for cell in cells if cell["role"] == "mentioned"]),
        "by_threshold": [curve_point(cell) for cell in sorted(by_threshold, key=lambda cell: cell["threshold"])],
        "by_web_pairs": [curve_point(cell) for cell in sorted(by_size, key=lambda cell: cell["web"])],
        "by_steps": by_steps(cells, grid),
        "rare_by_words": {role: by_words(own) for role, own in main.items()},
        "teacher_labels": label_quality(main["teacher"]),
        "config": {"file": "configs/selftrain.yaml", "grid": dict(grid)},
        "pictures": sorted({cell["settings"]["evaluate.count"] for cell in cells}),
        "samples_seen": sorted({cell["samples_seen"] for own in main.values() for cell in own}),
        "device": grid["device"] if grid["device"] != "cpu" else "cpu, 1 thread a training",
        "processors": sorted({cell["processor"] for cell in cells if "processor" in cell}),
        "versions": {
            name: sorted({cell["versions"][name] for cell in cells if "versions" in cell})
            for name in ("python", "torch")
        },
        "date": max((cell["date"] for cell in cells), default=None),
    }
    out.write_text(json.dumps(result, indent=1) + "\n")
    teachers = [cell for cell in main["teacher"] if cell["seed"] == first]
    level = {tier: ap(teachers[0], tier) for tier in TIERS} if teachers else {}
    plots.mkdir(parents=True, exist_ok=True)
    for name, title, rows, x in (
        ("threshold", "Student AP by the score above which pseudo labels are kept", by_threshold, "threshold"),
        ("web_pairs", "Student AP by the number of web pairs", by_size, "web"),
    ):
        if len(rows) > 1:
            (plots / f"selftrain_{name}.svg").write_text(plot(title, rows, x, level))


def figures(cells: Sequence[Cell]) -> dict[str, Any] | None:
    if not cells:
        return None
    ordered = sorted(cells, key=lambda cell: cell["seed"])
    return {
        **{tier: mean(ap(cell, tier) for cell in ordered) for tier in TIERS},
        "seeds": [{"seed": cell["seed"], **{tier: ap(cell, tier) for tier in TIERS}} for cell in ordered],
    }


def ap(cell: Cell, tier: str) -> float | None:
    value: float | None = cell["detection"][tier]["AP"]
    return value


def mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 3) if known else None


def verdict(main: Mapping[str, Sequence[Cell]]) -> dict[str, Any] | None:
    """The goals of the measurement, seed by seed where all three models of a seed are there."""
    by_seed = [{cell["seed"]: cell for cell in main[role]} for role in ROLES]
    seeds = sorted(set.intersection(*(set(own) for own in by_seed)))
    if not seeds:
        return None
    teacher, student, upper = ({tier: mean(ap(own[seed], tier) for seed in seeds) for tier in TIERS} for own in by_seed)
    if any(own[tier] is None for own in (teacher, student, upper) for tier in TIERS):
        return None  # too few pictures: a tier without an object
    gap = upper["rare"] - teacher["rare"]
    found = {
        "seeds": seeds,
        "rare_gain": round(student["rare"] - teacher["rare"], 3),
        "common_change": round(student["common"] - teacher["common"], 3),
        "unseen_change": round(student["unseen"] - teacher["unseen"], 3),
        "rare_gap_closed": round((student["rare"] - teacher["rare"]) / gap, 3) if gap > 0 else None,
    }
    met = {
        "rare gains at least 5 AP": found["rare_gain"] >= GOALS["rare_gain"],
        "common loses at most 0.5 AP": found["common_change"] >= GOALS["common_loss"],
        "at least half of the gap to the upper bound is closed": (found["rare_gap_closed"] or 0) >= GOALS["gap_closed"],
    }
    return {**found, "met": met}


def curve_point(cell: Cell) -> dict[str, Any]:
    return {
        "threshold": cell["threshold"],
        "web_pairs": cell["web"],
        "samples_with_pseudo_boxes": cell["sets"].get("pseudo", 0),
        **{tier: ap(cell, tier) for tier in TIERS},
    }


def by_steps(cells: Sequence[Cell], grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Teacher and student of the first seed at each length of training that both have."""
    first = [cell for cell in cells if cell["seed"] == grid["seeds"][0]]
    teachers = {steps_of(cell): cell for cell in first if cell["role"] == "teacher"}
    wanted = ("student", grid["threshold"], grid["web"])
    students = {
        steps_of(cell): cell for cell in first if (cell["role"], cell.get("threshold"), cell.get("web")) == wanted
    }
    return [
        {
            **{"steps": steps, "samples_seen": students[steps]["samples_seen"]},
            **{
                role: {tier: ap(own[steps], tier) for tier in TIERS}
                for role, own in (("teacher", teachers), ("student", students))
            },
        }
        for steps in sorted(teachers.keys() & students.keys())
    ]


def by_words(cells: Sequence[Cell]) -> dict[str, float | None]:
    """AP of rare nouns whose names are one word ("screwdriver"), and of those whose names are two ("fire engine")."""
    rare = {thing.name for thing in NOUNS if thing.tier == "rare"}
    found: dict[str, list[float]] = {"one_word": [], "two_words": []}
    for cell in cells:
        for name, figures in cell["detection"]["by_noun"].items():
            if name in rare:
                found["two_words" if " " in name else "one_word"].append(100 * figures["AP"])
    return {words: mean(values) for words, values in found.items()}


def steps_of(cell: Cell) -> int:
    steps: int = cell["settings"]["train.steps"]
    return steps


def label_quality(cells: Sequence[Cell]) -> dict[str, Any]:
    """What the teachers' labels are worth at each threshold, on the evaluation pictures, mean over seeds."""
    if not cells:
        return {}
    points = range(len(cells[0]["agreement"]["all"]["curve"]))
    return {
        tier: [
            {
                "threshold": cells[0]["agreement"][tier]["curve"][i]["threshold"],
                **{
                    name: mean(cell["agreement"][tier]["curve"][i][name] for cell in cells)
                    for name in ("precision", "recall")
                },
            }
            for i in points
        ]
        for tier in TIERS
    }


# -- a line plot ---------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 340, 56, 96, 44, 48


def plot(title: str, rows: Sequence[Cell], x: str, level: Mapping[str, float | None]) -> str:
    """AP of each tier over the values of `x`, equally spaced; dashed: the teacher."""
    rows = sorted(rows, key=lambda cell: cell[x])
    values = [value for cell in rows for tier in TIERS if (value := ap(cell, tier)) is not None]
    highest = max([*values, *(value for value in level.values() if value is not None), 1.0])
    top = next(step for step in (5, 10, 20, 30, 40, 50, 60, 80, 100) if step >= highest)

    def across(i: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (i + 0.5) / len(rows)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(LEFT, 22, title, size=14),
        *(axis(top * i / 5, up) for i in range(6)),
        *(text(across(i), HEIGHT - 26, f"{cell[x]:,}", anchor="middle") for i, cell in enumerate(rows)),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "score threshold" if x == "threshold" else "web pairs", "middle"),
        text(LEFT - 40, TOP - 10, "AP"),
    ]
    for tier in TIERS:
        parts += curve(tier, [(across(i), ap(cell, tier)) for i, cell in enumerate(rows)], up, level.get(tier))
    return "\n".join([*parts, "</svg>"]) + "\n"


def axis(value: float, up: Callable[[float], float]) -> str:
    y = up(value)
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
    return line + text(LEFT - 8, y + 4, f"{value:g}", anchor="end")


def curve(
    tier: str, points: Sequence[tuple[float, float | None]], up: Callable[[float], float], level: float | None
) -> list[str]:
    known = [(x, up(value)) for x, value in points if value is not None]
    colour = COLOURS[tier]
    parts = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in known]
    if known:
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(text(WIDTH - RIGHT + 8, known[-1][1] + 4, tier, colour=colour))
    if level is not None:
        y = f"{up(level):.1f}"
        ends = f'x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"'
        parts.append(f'<line {ends} stroke="{colour}" stroke-dasharray="4 4"/>')
    return parts


def text(x: float, y: float, words: str, anchor: str = "start", size: int = 12, colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{words}</text>'
