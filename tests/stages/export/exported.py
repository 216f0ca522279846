"""What an export wrote, and what it must hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Box = tuple[str, int, int, float, float, float, float, float]  # key, span, corners, score


class Exported:
    def __init__(self, folder: Path, run: Any, result: dict[str, int]) -> None:
        self.folder = folder
        self.run = run
        self.result = result

    def path(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str) -> Any:
        return json.loads(self.path(name).read_text("utf-8"))


def truth(run: Any, min_score: float | None = None) -> list[Box]:
    """Every box that an export must hold, in order."""
    files, found = run.all_parts(), []
    spans = {row["key"]: [(p["start"], p["end"]) for p in row["phrases"]] for row in run.rows["phrases"]}
    with_image = {row["key"] for row in run.rows["pairs"] if row["image"]}
    for part in files.parts():
        for row in files.read_part("pseudo" if min_score is None else "labels", part).to_pylist():
            for box in row["boxes"] if row["key"] in with_image else ():
                if min_score is None or box["score"] > min_score:
                    corners = (box["x1"], box["y1"], box["x2"], box["y2"])
                    found.append((row["key"], *spans[row["key"]][box["phrase"]], *corners, box["score"]))
    return found


def captions(run: Any) -> dict[str, str]:
    return {row["key"]: row["caption"] for row in run.rows["pairs"]}


def same(found: list[Box], expected: list[Box]) -> None:
    assert len(found) == len(expected) > 50
    for a, b in zip(sorted(found), sorted(expected)):
        assert a[:3] == b[:3]
        assert a[3:] == pytest.approx(b[3:], abs=1e-3)


def check_images(export: Exported, names: dict[str, str]) -> None:
    """`names`: key -> the file that a record names; the bytes are those of the run."""
    for key, name in names.items():
        assert export.path(name).read_bytes() == (export.run.root / "images" / f"{key}.jpg").read_bytes()
