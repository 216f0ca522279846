"""Makes the cells of the levers, by `phrasebox train` on levers.yaml and by the measurement of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from experiments import runner
from experiments.cell import Cell
from experiments.photos_levers.cells import FIGURES
from experiments.runner import read


class Runner(runner.Runner):
    """Of the levers."""

    config: ClassVar[str] = "experiments/photos_levers/levers.yaml"

    def figures(self, cell: Cell, folder: Path) -> dict[str, Any]:
        return {**read(folder / FIGURES), **self.trained(cell, folder)}
