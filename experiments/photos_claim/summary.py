"""From the results of the cells to one result: means over the seeds, what the models differ by, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.photos_claim.measure import TIERS

ROLES = ("teacher", "student", "upper")
KINDS = ("recall_at_1", "ap")
PAIRS = (("student", "teacher"), ("upper", "teacher"), ("upper", "student"))
GOALS = {"all": 4.0, "rare": 6.0}  # points of R@1 that a student has more than its teacher
CLAIMED = ("all", "rare", "unseen")  # told beside the goals

Cell = dict[str, Any]


def result_of(cells: Sequence[Cell], grid: Mapping[str, Any]) -> dict[str, Any]:
    """Of the cells that there are; a seed counts where all three of its models are there."""
    models = {role: {cell["seed"]: cell for cell in cells if cell["role"] == role} for role in ROLES}
    seeds = sorted(set.intersection(*(set(own) for own in models.values())))
    whole = {role: [own[seed] for seed in seeds] for role, own in models.items()}
    found = [cell for own in whole.values() for cell in own]
    differences = {f"{one} - {other}": difference(whole[one], whole[other]) for one, other in PAIRS}
    return {
        "what": "R@1 and AP in percent on Flickr photos of the test split; docs/selftraining.md defines them",
        "command": "python -m experiments.photos_claim run, then collect",
        "seeds": seeds,
        **{role: mean_figures(own) for role, own in whole.items()},
        "differences": differences,
        "verdict": verdict(differences["student - teacher"]),
        "labels": [{"seed": cell["seed"], **cell["labels"]} for cell in cells if cell["role"] == "labels"],
        "grid": dict(grid),
        "samples_seen": sorted({cell["samples_seen"] for cell in found}),
        "start_sha256": [cell["init_sha256"] for cell in whole["teacher"]],
        "device": f"{grid['device']}, 1 thread a training",
        "processors": sorted({cell["processor"] for cell in found}),
        "versions": {name: sorted({cell["versions"][name] for cell in found}) for name in ("python", "torch")},
        "date": max((cell["date"] for cell in found), default=None),
    }


def mean_figures(cells: Sequence[Cell]) -> dict[str, Any]:
    """{tier: {phrases, recall_at_1, ap}}: mean over the seeds with the interval over photos, and each seed's own."""
    return {tier: {"phrases": phrases(cells, tier), **values(cells, tier)} for tier in tiers_of(cells)}


def difference(some: Sequence[Cell], others: Sequence[Cell]) -> dict[str, Any]:
    """Points that some models have more than the others of the same seeds."""
    return {tier: values(some, tier, others) for tier in tiers_of([*some, *others])}


def values(cells: Sequence[Cell], tier: str, less: Sequence[Cell] = ()) -> dict[str, Any]:
    """{kind: {mean, interval_95, seeds}}; `less`: what is taken off, model by model and draw by draw."""
    found = {}
    for kind in KINDS:
        seeds = np.array([cell["tiers"][tier][kind] for cell in cells])
        draws = np.stack([draws_of(cell, tier, kind) for cell in cells])  # (seeds, draws)
        if less:
            seeds = seeds - [cell["tiers"][tier][kind] for cell in less]
            draws = draws - np.stack([draws_of(cell, tier, kind) for cell in less])
        low, high = np.nanquantile(
            draws.mean(0), [0.025, 0.975]
        )  # of the mean over seeds; NaN: a draw without a phrase
        found[kind] = {
            "mean": round(float(seeds.mean()), 2),
            "interval_95": [round(float(low), 2), round(float(high), 2)],
            "seeds": [round(float(value), 2) for value in seeds],
        }
    return found


def draws_of(cell: Cell, tier: str, kind: str) -> NDArray[np.float64]:
    return np.array(cell["tiers"][tier]["draws"][kind].split(), dtype=float)


def phrases(cells: Sequence[Cell], tier: str) -> list[int]:
    """Of each seed: which heads are rare depends on its gold."""
    return [cell["tiers"][tier]["phrases"] for cell in cells]


def tiers_of(cells: Sequence[Cell]) -> list[str]:
    """Those with a phrase in the test photos, for every seed; none without a cell."""
    return [tier for tier in TIERS if cells and all(tier in cell["tiers"] for cell in cells)]


def verdict(gains: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a student has more than its teacher, in points of R@1, and whether the goals are met.

    None before there is a student, or a rare phrase. A goal is *sure* where the interval lies above it, too.
    """
    if not all(tier in gains for tier in GOALS):
        return None
    found = {tier: gains[tier]["recall_at_1"] for tier in CLAIMED if tier in gains}
    names = {"all": "R@1 gains at least 4 points", "rare": "R@1 of rare heads gains at least 6 points"}
    return {
        "gains": found,
        "met": {names[tier]: found[tier]["mean"] >= goal for tier, goal in GOALS.items()},
        "sure": {names[tier]: found[tier]["interval_95"][0] >= goal for tier, goal in GOALS.items()},
    }


def tables(result: Mapping[str, Any]) -> str:
    """The result as the tables of the page, in Markdown."""
    lines = ["| R@1 / AP | " + " | ".join(TIERS) + " |", "|---|" + "---|" * len(TIERS)]
    rows = [(role, result[role]) for role in ROLES] + list(result["differences"].items())
    for name, found in rows:
        lines.append(f"| {name} | " + " | ".join(cell_text(found.get(tier)) for tier in TIERS) + " |")
    return "\n".join([*lines, *goal_lines(result["verdict"])]) + "\n"


def goal_lines(found: Mapping[str, Any] | None) -> list[str]:
    """A table of what the student gains beside the goals; nothing before there is a verdict."""
    if found is None:
        return []
    lines = [
        "",
        "| R@1 of the student over its teacher | goal | mean (95% interval) | seeds | |",
        "|---|---|---|---|---|",
    ]
    for tier, gain in found["gains"].items():
        goal = GOALS.get(tier)
        met = "" if goal is None else "met" if gain["mean"] >= goal else "missed"
        low, high = gain["interval_95"]
        seeds = ", ".join(f"{value:.1f}" for value in gain["seeds"])
        aim = "" if goal is None else f"{goal:g}"
        lines.append(f"| {tier} | {aim} | {gain['mean']:.1f} ({low:.1f} to {high:.1f}) | {seeds} | {met} |")
    return lines


def cell_text(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    texts = ("{mean:.1f} ({interval_95[0]:.1f} to {interval_95[1]:.1f})".format(**found[kind]) for kind in KINDS)
    return " / ".join(texts)
