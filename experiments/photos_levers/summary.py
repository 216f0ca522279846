"""From the results of the cells to one: each lever beside the base, and what seeds alone differ by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.photos_claim.summary import values
from experiments.photos_levers.cells import BASE

PAIRS = {"long-s1": "long-s0"}  # which cell another one is compared with; else the base

Cell = dict[str, Any]


def result_of(cells: Sequence[Cell], grid: Mapping[str, Any]) -> dict[str, Any]:
    """Of the cells that there are. What a lever gains needs the base."""
    known = {cell["name"]: cell for cell in cells}
    return {
        "what": "R@1 and AP in percent on the first photos of the dev split; measure.py of the experiment defines them",
        "command": "python -m experiments.photos_levers run, then collect",
        "levers": {name: row(cell, known.get(PAIRS.get(name, BASE))) for name, cell in known.items()},
        "grid": dict(grid),
        "device": f"{grid['device']}, 1 thread a training",
        "processors": sorted({cell["processor"] for cell in cells}),
        "versions": {name: sorted({cell["versions"][name] for cell in cells}) for name in ("python", "torch")},
        "date": max((cell["date"] for cell in cells), default=None),
    }


def row(cell: Cell, other: Cell | None) -> dict[str, Any]:
    """The figures of a cell, and the points that it has more than another, with their interval over the photos."""
    found = {
        "samples_seen": cell["samples_seen"],
        **values([cell], "all"),
        "recall_at_precision_80": cell["recall_at_precision_80"],
        "coco_ap": round(cell["coco_ap"]["AP"] or 0.0, 2),
    }
    if other is not None and other is not cell and other["samples_seen"] == cell["samples_seen"]:
        found["gains"] = {"over": other["name"], **values([cell], "all", [other])}
    return found


def tables(result: Mapping[str, Any]) -> str:
    """The result as a table in Markdown."""
    lines = ["| lever | R@1 | gain of R@1 | recall at precision 0.80 | COCO AP |", "|---|---|---|---|---|"]
    for name, found in result["levers"].items():
        cells = [f"{found['recall_at_1']['mean']:.1f}", gain_text(found.get("gains"))]
        cells += [f"{found['recall_at_precision_80']:.1f}", f"{found['coco_ap']:.1f}"]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def gain_text(gains: Mapping[str, Any] | None) -> str:
    if gains is None:
        return ""
    text = "{mean:+.1f} ({interval_95[0]:+.1f} to {interval_95[1]:+.1f})".format(**gains["recall_at_1"])
    return text + (f" over `{gains['over']}`" if gains["over"] != BASE else "")
