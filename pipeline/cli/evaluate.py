"""`phrasebox evaluate`: the stage's command with its benchmark as an option."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.options import (
    Address,
    Deadline,
    DryRun,
    File,
    Folder,
    Force,
    Inline,
    Parts,
    Run,
    Sets,
    Verbose,
    Workers,
    one_of,
)

Benchmark = Annotated[
    str | None, typer.Option("--benchmark", metavar="NAME", help="As --set evaluate.benchmark=NAME, e.g. coco.")
]


def evaluate_command(
    folder: Folder = None,
    run: Run = None,
    config: File = None,
    set_: Sets = None,
    benchmark: Benchmark = None,
    workers: Workers = None,
    address: Address = None,
    inline: Inline = False,
    parts: Parts = None,
    dry_run: DryRun = False,
    force: Force = False,
    deadline: Deadline = 3600.0,
    verbose: Verbose = False,
) -> None:
    from pipeline.cli.commands import Options, run_stage

    options = Options(workers, address, inline, parts, dry_run, force, deadline, verbose)
    chosen = [] if benchmark is None else [f"evaluate.benchmark={benchmark}"]
    run_stage(config, [*(set_ or []), *chosen], one_of(folder, run), "evaluate", options)
