"""Makes the cells of the claim, by `phrasebox` commands on claim.yaml and by those of this folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from experiments import runner
from experiments.cell import Cell
from experiments.photos_claim.cells import FIGURES, LABELS, THRESHOLD
from experiments.runner import read

MIN_SCORE = "filter.min_score"


class Runner(runner.Runner):
    """Of the photographs."""

    config: ClassVar[str] = "experiments/photos_claim/claim.yaml"

    def settings(self, cell: Cell, folder: Path) -> Mapping[str, Any]:
        """With the threshold that was found when the labels were made, whose folder this one is a copy of."""
        if cell.settings.get(MIN_SCORE) != THRESHOLD:
            return cell.settings
        return {**cell.settings, MIN_SCORE: read(folder / LABELS)["threshold"]}

    def figures(self, cell: Cell, folder: Path) -> dict[str, Any]:
        if cell.facts["role"] == "start":
            return {}
        if cell.facts["role"] == "labels":
            return {"labels": read(folder / LABELS)}
        return {"tiers": read(folder / FIGURES), **self.trained(cell, folder)}
