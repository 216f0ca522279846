"""Makes the cells of the grid by `phrasebox` commands on configs/selftrain.yaml, and evaluates their models again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from experiments import runner
from experiments.cell import IMAGES, WEIGHTS, Cell
from experiments.runner import read as read


class Runner(runner.Runner):
    """Of the scenes."""

    config: ClassVar[str] = "configs/selftrain.yaml"

    def figures(self, cell: Cell, folder: Path) -> dict[str, Any]:
        if "evaluate" not in cell.commands:
            return {}
        found = read(folder / "evaluation" / "scenes-student.json")
        return {"detection": found["detection"], "agreement": found["agreement"], **self.trained(cell, folder)}

    def evaluate(self, cell: Cell) -> bool:
        """Evaluates the cell's model on as many images as its settings say, where its figures are of others.

        False where the time is over. Raises FileNotFoundError without the weights.
        """
        result = read(self.results / f"{cell.name}.json")
        if result["settings"][IMAGES] == cell.settings[IMAGES]:
            return True
        weights = (self.work / cell.name / WEIGHTS).resolve(strict=True)
        folder = self.work / "evaluations" / cell.name
        folder.mkdir(parents=True, exist_ok=True)
        settings = {key: cell.settings[key] for key in (IMAGES, "label.device")}
        settings |= {"label.weights": str(weights), "evaluate.models": ["teacher"]}
        if not self.run("evaluate", cell.name, settings, folder):
            return False
        figures = read(folder / "evaluation" / "scenes-teacher.json")
        result |= {name: figures[name] for name in ("detection", "agreement")}
        self.write(cell, {**result, "settings": dict(cell.settings)})
        return True
