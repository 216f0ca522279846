"""From the results of the cells to one result: means over the seeds, the verdict, and the points of the curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from experiments.selftraining.plots import ROLES, TIERS, save_plots
from stages.synthetic import NOUNS

GOALS = {"rare_gain": 5.0, "common_loss": -0.5, "gap_closed": 0.5}

Cell = dict[str, Any]


def collect(
    cells: list[Cell],
    grid: Mapping[str, Any],
    out: Path,
    plots: Path,
    beside: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, Any] | None = None,
) -> None:
    """Writes the result and the plots of what is there; a role without a cell is null.

    `beside`: results of the same grid at other lengths of training, for the curve over the length. A curve over the
    threshold or the number of web pairs is theirs where they have more of it. `labels`: what benchmarks/filter_rules.py
    found of a student's labels.
    """
    result = result_of(cells, grid, beside, labels)
    out.write_text(json.dumps(result, indent=1) + "\n")
    save_plots(result, plots)


def result_of(
    cells: list[Cell],
    grid: Mapping[str, Any],
    beside: Sequence[Mapping[str, Any]],
    labels: Mapping[str, Any] | None,
) -> dict[str, Any]:
    whole = [cell for cell in cells if steps_of(cell) == grid["steps"]]
    main = {role: [cell for cell in whole if cell["role"] == role] for role in ROLES}
    first = {role: [cell for cell in own if cell["seed"] == grid["seeds"][0]] for role, own in main.items()}
    main["student"] = [cell for cell in main["student"] if pairs_of(cell) == (grid["threshold"], grid["web"])]
    by_threshold = [cell for cell in first["student"] if cell["web"] == grid["web"]]
    by_size = [cell for cell in first["student"] if cell["threshold"] == grid["threshold"]]
    curves = {
        "by_threshold": curve(sorted(by_threshold, key=lambda cell: cell["threshold"]), first["teacher"]),
        "by_web_pairs": curve(sorted(by_size, key=lambda cell: cell["web"]), first["teacher"]),
    }
    found = [length for other in beside for length in other["by_steps"]] + by_steps(cells, grid)
    lengths = {length["steps"]: length for length in found}  # its own where another result has them, too
    return {
        "what": "AP in percent on held-out scenes, mean over seeds; docs/selftraining.md defines it",
        "command": "python -m experiments.selftraining run, then collect, both with the options of config.grid",
        **{role: figures(own) for role, own in main.items()},
        "verdict": verdict(main),
        "mentioned": figures([cell for cell in cells if cell["role"] == "mentioned"]),
        **{
            name: max([own, *(other[name] for other in beside)], key=lambda found: len(found["points"]))
            for name, own in curves.items()
        },
        "by_steps": [lengths[steps] for steps in sorted(lengths)],
        "rare_by_words": {role: by_words(own) for role, own in main.items()},
        "by_share_labelled": by_share_labelled(main, labels["nouns"]) if labels else None,
        "teacher_labels": label_quality(main["teacher"]),
        "config": {"file": "configs/selftrain.yaml", "grid": dict(grid)},
        "start_sha256": sorted({cell["init_sha256"] for cell in cells if "init_sha256" in cell}),
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
        return None  # too few images: a tier without an object
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


def curve(students: Sequence[Cell], teachers: Sequence[Cell]) -> dict[str, Any]:
    """A point for each of the students, which are of one seed and one length of training, and their teacher."""
    return {
        "samples_seen": students[0]["samples_seen"] if students else None,
        "seed": students[0]["seed"] if students else None,
        "teacher": {tier: ap(teachers[0], tier) for tier in TIERS} if teachers else None,
        "points": [
            {
                "threshold": cell["threshold"],
                "web_pairs": cell["web"],
                "samples_with_pseudo_boxes": cell["sets"].get("pseudo", 0),
                **{tier: ap(cell, tier) for tier in TIERS},
            }
            for cell in students
        ],
    }


def by_steps(cells: Sequence[Cell], grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each length of training at which a teacher and its student are there, mean over the seeds that have both.

    The upper bound is null where one of these seeds has none.
    """
    wanted = (grid["threshold"], grid["web"])
    own = [cell for cell in cells if cell["role"] != "student" or pairs_of(cell) == wanted]
    found = []
    for steps in sorted({steps_of(cell) for cell in own}):
        models = {
            role: {cell["seed"]: cell for cell in own if (cell["role"], steps_of(cell)) == (role, steps)}
            for role in ROLES
        }
        if seeds := sorted(models["teacher"].keys() & models["student"].keys()):
            means = {
                role: {tier: mean(ap(of_seed[seed], tier) for seed in seeds) for tier in TIERS}
                if of_seed.keys() >= set(seeds)
                else None
                for role, of_seed in models.items()
            }
            samples = models["student"][seeds[0]]["samples_seen"]
            found.append({"steps": steps, "samples_seen": samples, "seeds": seeds, **means})
    return found


def by_words(cells: Sequence[Cell]) -> dict[str, float | None]:
    """AP of rare nouns whose names are one word ("screwdriver"), and of those whose names are two ("fire engine")."""
    aps = noun_aps(cells, "rare")
    return {
        "one_word": mean(value for name, value in aps.items() if " " not in name),
        "two_words": mean(value for name, value in aps.items() if " " in name),
    }


def by_share_labelled(
    main: Mapping[str, Sequence[Cell]], nouns: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Rare and unseen nouns in halves, by the share of their objects in the web pairs with a right label; AP of each.

    Of the nouns in the evaluation's images, mean over the seeds.
    """
    found = {}
    for tier in ("rare", "unseen"):
        aps = {role: noun_aps(own, tier) for role, own in main.items()}
        known = [name for name in nouns if all(name in own for own in aps.values()) and nouns[name]["objects"]]
        ordered = sorted(known, key=lambda name: nouns[name]["right"] / nouns[name]["objects"])
        halves = (ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :])
        found[tier] = [share_labelled([nouns[name] for name in names], names, aps) for names in halves if names]
    return found


def share_labelled(
    counts: Sequence[Mapping[str, Any]], names: Sequence[str], aps: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Of some nouns: their objects, how many have a right label, wrong labels for each right one, and AP by role."""
    objects, boxes, right = (sum(own[what] for own in counts) for what in ("objects", "boxes", "right"))
    teacher, student, upper = (fmean(aps[role][name] for name in names) for role in ROLES)
    return {
        "nouns": len(names),
        "objects": objects,
        "labelled_right": round(right / objects, 3),
        "wrong_for_each_right": round((boxes - right) / right, 3) if right else None,
        **{role: round(value, 3) for role, value in zip(ROLES, (teacher, student, upper), strict=True)},
        "gap_closed": round((student - teacher) / (upper - teacher), 3) if upper > teacher else None,
    }


def noun_aps(cells: Sequence[Cell], tier: str) -> dict[str, float]:
    """AP in percent of each noun of the tier in the evaluation's images, mean over the seeds."""
    own = {thing.name for thing in NOUNS if thing.tier == tier}
    names = [name for name in (cells[0]["detection"]["by_noun"] if cells else ()) if name in own]
    return {name: fmean(100 * cell["detection"]["by_noun"][name]["AP"] for cell in cells) for name in names}


def pairs_of(student: Cell) -> tuple[float, int]:
    """The threshold of its labels, and the number of its web pairs."""
    return student["threshold"], student["web"]


def steps_of(cell: Cell) -> int:
    steps: int = cell["settings"]["train.steps"]
    return steps


def label_quality(cells: Sequence[Cell]) -> dict[str, Any]:
    """What the teachers' labels are worth at each threshold, on the evaluation images, mean over seeds."""
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
