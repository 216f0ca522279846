"""Does a student pass its teacher on photographs? The claim of self-training, cell by cell.

    python -m experiments.photos_claim plan                       # the cells, what is done, and what is left in hours
    python -m experiments.photos_claim run --minutes 50           # continues where it stopped, as long as time allows
    python -m experiments.photos_claim run --only '*-s1'          # some cells (and what they need); one shell a core
    python -m experiments.photos_claim collect                    # benchmarks/results/photos_claim.json, and its tables

Every cell is commands in a folder of its own under --work, and leaves one JSON under --cells. A cell that has its JSON
is computed again only where its folder is gone and another cell needs what was in it. cells.py says what the cells are;
README.md what they cost; docs/selftraining.md what came of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT
from experiments.cell import chosen
from experiments.photos_claim.cells import Grid, cells_of, seconds
from experiments.photos_claim.runner import Runner
from experiments.photos_claim.summary import result_of, tables
from experiments.runner import one_by_one, plan_lines, read

RATES = {"train": 13.0, "label": 14.0, "start": 180.0}  # of one CPU core


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
        if not (ROOT / grid.data / "entities_train.json").is_file():
            parser.error(
                f"--data: no entities_train.json in {grid.data}; python -m recipes.glip_photos.prepare makes it"
            )
        one_by_one(runner.pending(cells), runner.make)
    else:
        result = result_of([read(options.cells / f"{c.name}.json") for c in cells if runner.done(c)], vars(grid))
        options.out.write_text(json.dumps(result, indent=1) + "\n")
        sys.stdout.write(tables(result))


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m experiments.photos_claim",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("plan", "run", "collect"))
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "photos_claim", help="folders of the cells")
    parser.add_argument("--cells", type=Path, default=Path(__file__).with_name("results"), help="their results")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "photos_claim.json")
    parser.add_argument("--minutes", type=float, default=None, help="stop after so long; the next call goes on")
    parser.add_argument("--only", default="*", help="cells by name, as in a shell: '*-s0'")
    own: dict[str, dict[str, Any]] = {"seeds": {"type": lambda text: tuple(int(part) for part in text.split(","))}}
    for name, value in vars(Grid()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=value, **own.get(name, {"type": type(value)}))
    for name, rate in RATES.items():
        unit = "seconds" if name == "start" else "per second"
        parser.add_argument(f"--{name}-rate", type=float, default=rate, help=f"{unit}, for `plan` [one CPU core]")
    return parser


if __name__ == "__main__":
    main()
