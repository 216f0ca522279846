"""The command of an experiment: what is left, what is done next, what came of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT
from experiments.cell import Cell, chosen
from experiments.runner import Runner, one_by_one, plan_lines, read


@dataclass(frozen=True)
class Study:
    """An experiment whose cells follow from a grid, a frozen dataclass each field of which is an option."""

    name: str  # of its folder, of its runs and of its result
    about: str
    grid: Callable[..., Any]
    cells_of: Callable[[Any], list[Cell]]
    seconds: Callable[[Cell, Any, Mapping[str, float]], float]  # what a cell costs by the rates
    rates: Mapping[str, float]  # of one CPU core
    runner: Callable[[Path, Path, float | None], Runner]
    result_of: Callable[[Sequence[dict[str, Any]], Mapping[str, Any]], dict[str, Any]]
    tables: Callable[[Mapping[str, Any]], str]

    def main(self, command: Sequence[str] | None = None) -> None:
        """Runs a command, that of the process by default."""
        parser = self.arguments()
        options = parser.parse_args(command)
        grid = self.grid(**{name: getattr(options, name) for name in vars(self.grid())})
        cells = chosen(self.cells_of(grid), options.only)
        runner = self.runner(options.work.resolve(), options.cells, options.minutes)
        if options.what == "plan":
            rates = {name: getattr(options, f"{name}_rate") for name in self.rates}
            lines = plan_lines(cells, runner, lambda cell: self.seconds(cell, grid, rates))
            sys.stdout.write("\n".join(lines) + "\n")
        elif options.what == "run":
            if not (ROOT / grid.data / "entities_train.json").is_file():
                parser.error(
                    f"--data: no entities_train.json in {grid.data}; python -m recipes.glip_photos.prepare makes it"
                )
            one_by_one(runner.pending(cells), runner.make)
        else:
            found = [read(options.cells / f"{cell.name}.json") for cell in cells if runner.done(cell)]
            result = self.result_of(found, vars(grid))
            options.out.write_text(json.dumps(result, indent=1) + "\n")
            sys.stdout.write(self.tables(result))

    def arguments(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            f"python -m experiments.{self.name}",
            description=self.about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        work, cells = ROOT / "runs" / self.name, ROOT / "experiments" / self.name / "results"
        result = ROOT / "benchmarks" / "results" / f"{self.name}.json"
        parser.add_argument("what", choices=("plan", "run", "collect"))
        parser.add_argument("--work", type=Path, default=work, help="folders of the cells")
        parser.add_argument("--cells", type=Path, default=cells, help="their results")
        parser.add_argument("--out", type=Path, default=result)
        parser.add_argument("--minutes", type=float, default=None, help="stop after so long; the next call goes on")
        parser.add_argument("--only", default="*", help="cells by name, as in a shell: '*-s0'")
        for name, value in vars(self.grid()).items():
            kind = numbers if isinstance(value, tuple) else type(value)
            parser.add_argument(f"--{name.replace('_', '-')}", default=value, type=kind)
        for name, rate in self.rates.items():
            unit = "seconds" if name == "start" else "per second"
            parser.add_argument(f"--{name}-rate", type=float, default=rate, help=f"{unit}, for `plan` [one CPU core]")
        return parser


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))
