"""Makes the cells of the grid, each by `phrasebox` commands in a run folder of its own, and writes a JSON for each.

A command that is cut off goes on from its last checkpoint when it is called again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, processor_name
from experiments.selftraining.cells import IMAGES, WEIGHTS, WORK, Cell

CONFIG = "configs/selftrain.yaml"


class Runner:
    """Run folders of cells lie below `work`, their results in `results`; `minutes` limits a call."""

    def __init__(self, work: Path, results: Path, minutes: float | None) -> None:
        self.work, self.results = work, results
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    def done(self, cell: Cell) -> bool:
        """Whether the cell has a result, of the same settings."""
        file = self.results / f"{cell.name}.json"
        return file.exists() and read(file)["key"] == cell.key()

    def pending(self, cells: list[Cell]) -> list[Cell]:
        """The cells to be made: without a result, or needed by one of these and without a folder."""
        names = {cell.name for cell in cells if not self.done(cell)}
        for cell in reversed(cells):  # those that need come after those that are needed
            if cell.name in names:
                names |= {needed.name for needed in cell.needs if not (self.work / needed.name / "cell").exists()}
        return [cell for cell in cells if cell.name in names]

    def make(self, cell: Cell) -> bool:
        """Whether the cell is done now; it is not when the time is over."""
        folder = self.work / cell.name
        marker = folder / "cell"
        if folder.exists() and (not marker.exists() or marker.read_text() != cell.key()):
            shutil.rmtree(folder)  # of other settings
        if not folder.exists():
            self._begin(cell, folder)
        started = time.monotonic()
        for command in cell.commands:
            if not self._phrasebox(command, cell.name, cell.settings, folder):
                return False
        self._write(cell, self._result(cell, folder, time.monotonic() - started))
        return True

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
        if not self._phrasebox("evaluate", cell.name, settings, folder):
            return False
        figures = read(folder / "evaluation" / "scenes-teacher.json")
        result |= {name: figures[name] for name in ("detection", "agreement")}
        self._write(cell, {**result, "settings": dict(cell.settings)})
        return True

    def _begin(self, cell: Cell, folder: Path) -> None:
        """Makes the cell's folder, empty or as a copy of another's."""
        if cell.begins_as is None:
            folder.mkdir(parents=True)
        else:  # linked: files of a run are replaced, never written into
            partial = self.work / f".{cell.name}"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(self.work / cell.begins_as.name, partial, copy_function=os.link)
            shutil.rmtree(partial / "state", ignore_errors=True)
            for own in ("cell", "log.txt"):  # these are written into
                (partial / own).unlink(missing_ok=True)
            partial.rename(folder)
        (folder / "cell").write_text(cell.key())

    def _phrasebox(self, command: str, name: str, settings: Mapping[str, Any], folder: Path) -> bool:
        """Runs it; False where it was stopped because the time is over. Raises RuntimeError where it fails."""
        verb, *rest = command.split()
        config = [CONFIG] if verb == "run" else ["--config", CONFIG]
        values = {key: json.dumps(value).replace(WORK, str(self.work)) for key, value in settings.items()}
        options = ["--run", str(folder), *rest, "--inline", *(f"--set={key}={value}" for key, value in values.items())]
        line = [sys.executable, "-m", "pipeline.cli", verb, *config, *options]
        with open(folder / "log.txt", "a") as log:
            environment = {"OMP_NUM_THREADS": "1", **os.environ}
            process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                code = process.wait(None if self.end is None else max(0.0, self.end - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
            finally:
                process.terminate()
                process.wait()
        if code:
            raise RuntimeError(f"{name}: phrasebox {command}: exit code {code}; see {folder / 'log.txt'}")
        return True

    def _result(self, cell: Cell, folder: Path, seconds: float) -> dict[str, Any]:
        """What the cell's JSON holds."""
        result = {
            **{"name": cell.name, "key": cell.key(), **cell.facts, "settings": dict(cell.settings)},
            "seconds": round(seconds, 1),  # of this call; the commands' own are in commits/
            "stage_seconds": {path.parent.name: read(path)["seconds"] for path in folder.glob("commits/*/*0000.json")},
            "date": datetime.date.today().isoformat(),
            "processor": processor_name(),
            "versions": {"python": platform.python_version(), "torch": version("torch")},
        }
        if "evaluate" in cell.commands:
            figures = read(folder / "evaluation" / "scenes-student.json")
            notes = read(folder / "commits" / "train" / "part-0000000.json")["notes"]
            result |= {"detection": figures["detection"], "agreement": figures["agreement"]}
            result |= {"samples_seen": notes["samples_seen"], "sets": notes["sets"]}
            init = ROOT / cell.settings["train.init"].replace(WORK, str(self.work))
            result["init_sha256"] = hashlib.sha256(init.read_bytes()).hexdigest()
        return result

    def _write(self, cell: Cell, result: dict[str, Any]) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        (self.results / f"{cell.name}.json").write_text(json.dumps(result, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
