"""An audited run, read back."""

from __future__ import annotations

import json
from typing import Any


def stats_of(run: Any) -> dict[str, Any]:
    stats: dict[str, Any] = json.loads((run.root / "report" / "stats.json").read_text())
    return stats


def norms(run: Any) -> dict[str, list[str]]:
    return {row["key"]: [phrase["norm"] for phrase in row["phrases"]] for row in run.rows["phrases"]}


def box_iou(a: dict[str, float], b: dict[str, float]) -> float:
    width = max(min(a["x2"], b["x2"]) - max(a["x1"], b["x1"]), 0)
    height = max(min(a["y2"], b["y2"]) - max(a["y1"], b["y1"]), 0)
    both = width * height
    area = sum((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]) for box in (a, b))
    return both / (area - both) if area > both else 0.0


def stored(run: Any, dataset: str) -> list[dict[str, Any]]:
    """The rows as a reader of the parts sees them (float32 boxes)."""
    files = run.all_parts()
    return [row for part in files.parts() for row in files.read_part(dataset, part).to_pylist()]


def asked_phrases(run: Any) -> list[tuple[str, int]]:
    """(key, number) of every phrase that the teacher was asked for."""
    dropped = {(row["key"], entry["phrase"]) for row in run.rows["labels"] for entry in row["dropped"]}
    asked = [(row["key"], i) for row in run.rows["phrases"] for i in range(len(row["phrases"]))]
    return [phrase for phrase in asked if phrase not in dropped]
