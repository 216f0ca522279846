"""Makes the cells of an experiment, each by commands in a run folder of its own, and writes a JSON for each.

A command that is cut off goes on when it is called again: a training from its last checkpoint, a stage from its last
part.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.record import ROOT, processor_name
from experiments.cell import WORK, Cell


class Runner:
    """Run folders of cells lie below `work`, their results in `results`; `minutes` limits a call.

    An experiment derives a class that names its config and says what a finished cell's folder comes to.
    """

    config: ClassVar[str]

    def __init__(self, work: Path, results: Path, minutes: float | None) -> None:
        self.work, self.results = work, results
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    def figures(self, cell: Cell, folder: Path) -> dict[str, Any]:
        """What has been measured in the folder of a finished cell, for its result."""
        raise NotImplementedError

    def settings(self, cell: Cell, folder: Path) -> Mapping[str, Any]:
        """Of the cell's phrasebox commands."""
        return cell.settings

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
            if not self.run(command, cell.name, self.settings(cell, folder), folder):
                return False
        self.write(cell, self._result(cell, folder, time.monotonic() - started))
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

    def run(self, command: str, name: str, settings: Mapping[str, Any], folder: Path) -> bool:
        """Runs it; False where it was stopped because the time is over. Raises RuntimeError where it fails."""
        with open(folder / "log.txt", "a") as log:
            environment = {"OMP_NUM_THREADS": "1", **os.environ}
            line = [sys.executable, *self._arguments(command, settings, folder)]
            process = subprocess.Popen(line, cwd=ROOT, env=environment, stdout=log, stderr=log)
            try:
                code = process.wait(None if self.end is None else max(0.0, self.end - time.monotonic()))
            except subprocess.TimeoutExpired:
                return False
            finally:
                process.terminate()
                process.wait()
        if code:
            raise RuntimeError(f"{name}: {command}: exit code {code}; see {folder / 'log.txt'}")
        return True

    def _arguments(self, command: str, settings: Mapping[str, Any], folder: Path) -> list[str]:
        verb, *rest = shlex.split(command.replace(WORK, str(self.work)))
        if verb == "python":
            return rest
        config = [self.config] if verb == "run" else ["--config", self.config]
        values = {key: json.dumps(value).replace(WORK, str(self.work)) for key, value in settings.items()}
        options = ["--run", str(folder), *rest, "--inline", *(f"--set={key}={value}" for key, value in values.items())]
        return ["-m", "pipeline.cli", verb, *config, *options]

    def _result(self, cell: Cell, folder: Path, seconds: float) -> dict[str, Any]:
        """What the cell's JSON holds."""
        return {
            **{"name": cell.name, "key": cell.key(), **cell.facts, "settings": dict(cell.settings)},
            "seconds": round(seconds, 1),  # of this call; the commands' own are in commits/
            "stage_seconds": {path.parent.name: read(path)["seconds"] for path in folder.glob("commits/*/*0000.json")},
            "date": datetime.date.today().isoformat(),
            "processor": processor_name(),
            "versions": {"python": platform.python_version(), "torch": version("torch")},
            **self.figures(cell, folder),
        }

    def trained(self, cell: Cell, folder: Path) -> dict[str, Any]:
        """What a training of the cell has seen, and the digest of the weights that it began with."""
        notes = read(folder / "commits" / "train" / "part-0000000.json")["notes"]
        init = ROOT / cell.settings["train.init"].replace(WORK, str(self.work))
        return {
            "samples_seen": notes["samples_seen"],
            "sets": notes["sets"],
            "init_sha256": hashlib.sha256(init.read_bytes()).hexdigest(),
        }

    def write(self, cell: Cell, result: dict[str, Any]) -> None:
        self.results.mkdir(parents=True, exist_ok=True)
        (self.results / f"{cell.name}.json").write_text(json.dumps(result, indent=1) + "\n")


def one_by_one(cells: Sequence[Cell], make: Callable[[Cell], bool]) -> None:
    """One after the other, a line for each, until the time is over."""
    for left, cell in zip(range(len(cells), 0, -1), cells, strict=True):
        if not make(cell):
            sys.stdout.write(f"stopped in {cell.name}; {left} cells are left\n")
            return
        sys.stdout.write(f"{cell.name}; {left - 1} cells are left\n")
        sys.stdout.flush()


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def plan_lines(cells: list[Cell], runner: Runner, seconds: Callable[[Cell], float]) -> Iterator[str]:
    """A line for each cell, and the hours that are left on one core (or device), by what a cell costs in seconds."""
    left, pending = 0.0, {cell.name for cell in runner.pending(cells)}
    for cell in cells:
        cost = seconds(cell) if cell.name in pending else 0.0
        left += cost
        yield f"{cell.name:24} {f'{cost / 60:5.0f} min' if cell.name in pending else 'done'}"
    yield f"{left / 3600:.1f} h left on one core or device"
