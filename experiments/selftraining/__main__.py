"""Does a student pass its teacher? The grid of self-training on the scenes, cell by cell.

    python -m experiments.selftraining plan                       # the cells, what is done, and what is left in hours
    python -m experiments.selftraining run --minutes 50           # continues where it stopped, as long as time allows
    python -m experiments.selftraining run --only '*-s1*'         # some cells (and what they need); one shell a core
    python -m experiments.selftraining evaluate --images 1500     # the models that are there, on more images
    python -m experiments.selftraining collect                    # benchmarks/results/selftrain.json and the plots

Every cell is `phrasebox` commands on configs/selftrain.yaml with some keys set, in a run folder of its own under
--work, and leaves one JSON under --cells. A cell that has its JSON is computed again only where its folder is gone and
another cell needs what was in it. experiments/selftraining/cells.py says what the cells are; docs/selftraining.md has
the commands of both grids, and what came of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT
from experiments.cell import chosen
from experiments.runner import one_by_one, plan_lines, read
from experiments.selftraining.cells import Grid, cells_of, seconds
from experiments.selftraining.runner import Runner
from experiments.selftraining.summary import collect

RESULTS = Path(__file__).with_name("results")
RATES = {"train": 7.0, "label": 20.0, "evaluate": 4.5, "crops": 1.8}  # of one CPU core


def main(command: Sequence[str] | None = None) -> None:
    """Runs a command, that of the process by default."""
    parser = arguments()
    options = parser.parse_args(command)
    grid = Grid(**{name: getattr(options, name) for name in vars(Grid())})
    cells = chosen(cells_of(grid), options.only)
    runner = Runner(options.work.resolve(), options.cells, options.minutes)
    if options.what == "plan":
        rates = {name: getattr(options, f"{name}_rate") for name in RATES}
        sys.stdout.write("\n".join(plan_lines(cells, runner, lambda cell: seconds(cell, grid, rates))) + "\n")
    elif options.what == "run":
        if grid.start and not (ROOT / grid.start).is_file():
            parser.error(f"--start: no weights at {grid.start}; experiments/selftraining/start.yaml makes them")
        one_by_one(runner.pending(cells), runner.make)
    elif options.what == "evaluate":
        one_by_one([cell for cell in cells if cell.facts and runner.done(cell)], runner.evaluate)
    else:
        found = [read(options.cells / f"{cell.name}.json") for cell in cells if cell.facts and runner.done(cell)]
        beside, labels = [read(path) for path in options.beside], options.labels and read(options.labels)
        collect(found, vars(grid), options.out, options.plots, beside, labels)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m experiments.selftraining",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("plan", "run", "evaluate", "collect"))
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "selftrain-grid", help="run folders of the cells")
    parser.add_argument("--cells", type=Path, default=RESULTS / "passes_teacher", help="their results")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "selftrain.json")
    parser.add_argument("--plots", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="`collect`: results at other --steps")
    parser.add_argument("--labels", type=Path, default=None, help="`collect`: benchmarks/filter_rules.py of a student")
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long; the next call goes on")
    parser.add_argument("--only", default="*", help="cells by name, as in a shell: '*-s0*'")
    add_grid(parser, Grid())
    for name, rate in RATES.items():
        parser.add_argument(f"--{name}-rate", type=float, default=rate, help="per second, for `plan` [one CPU core]")
    return parser


def add_grid(parser: argparse.ArgumentParser, default: Grid) -> None:
    """An option for each field of the grid."""
    own: dict[str, dict[str, Any]] = {
        "start": {"type": from_root, "help": "weights that all models begin with"},
        "lengths": {"type": numbers(int), "help": "in steps"},
        "word_substitution": {"type": float, "help": "in gold captions"},
        "ungrounded": {"choices": ("absent", "unknown")},
        "images": {"type": int, "help": "of the evaluation"},
        **{name: {"type": numbers(kind)} for name, kind in (("seeds", int), ("sizes", int), ("thresholds", float))},
    }
    for name, value in vars(default).items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, **own.get(name, {"type": type(value)}))


def from_root(path: str) -> str:
    """Relative to the repository where it lies in there, as commands are run from its root."""
    whole = Path(path).resolve()
    return str(whole.relative_to(ROOT) if whole.is_relative_to(ROOT) else whole)


def numbers(kind: type) -> Callable[[str], tuple[Any, ...]]:
    return lambda text: tuple(kind(part) for part in text.split(","))


if __name__ == "__main__":
    main()
