"""What the commands do, below the command line."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from pipeline.config import load_config, resolve
from pipeline.executors import Executor, InlineExecutor
from pipeline.progress import Plain
from pipeline.runner import Report, Runner, Selection, part_label
from pipeline.storage import StoreError, open_storage
from stages import STAGES, load_stage
from stages.stage import UserError


@dataclass(frozen=True)
class Options:
    workers: int | None
    address: str | None
    inline: bool
    parts: str | None
    dry_run: bool
    force: bool
    deadline: float
    verbose: bool


def run_stages(
    file: str | None, settings: Sequence[str], run: str | None, first: str | None, last: str | None, options: Options
) -> None:
    """Runs the stages from `first` to `last` (None: all). Ends the command with exit code 1 when parts failed."""
    names = stage_names(first, last)
    config = load_config(file, settings, run)
    project = [load_stage(name) for name in STAGES]
    chosen = [stage for stage in project if stage.name in names]
    config = resolve(config, chosen)
    storage = open_storage(config.run)
    selection = Selection(chosen, parse_parts(options.parts), options.force)
    executor = make_executor(options)
    display = Plain(options.verbose)
    try:
        report = Runner(storage, config, project, executor, display).run(selection)
    except StoreError as error:
        sys.stderr.write(f"phrasebox: {error}\n")
        raise typer.Exit(1) from None
    finally:
        executor.close()
    finish(report)


def make_executor(options: Options) -> Executor:
    if options.inline:
        return InlineExecutor()
    from pipeline.ray_executor import RayExecutor

    return RayExecutor(options.workers, options.address, options.deadline, options.verbose)


def finish(report: Report) -> None:
    for stage, part, why in report.failed:
        sys.stderr.write(f"phrasebox: {stage}, {part_label(part)} failed: {why}\n")
    if report.failed or report.blocked:
        raise typer.Exit(1)
    if not any(report.made.values()):
        sys.stderr.write("nothing to be done: everything is committed\n")


def stage_names(first: str | None, last: str | None) -> list[str]:
    names = list(STAGES)
    for option, name in (("--from", first), ("--until", last)):
        if name is not None and name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the stages are {', '.join(names)}"
            raise UserError(f"{option} {name}: no such stage; {hint}")
    start = names.index(first) if first else 0
    stop = names.index(last) + 1 if last else len(names)
    if start >= stop:
        raise UserError(f"--from {first} --until {last}: {last} comes before {first}")
    return names[start:stop]


def parse_parts(text: str | None) -> frozenset[int] | None:
    """`0-9,12` -> the numbers. Raises UserError."""
    if text is None:
        return None
    parts: set[int] = set()
    for piece in text.split(","):
        low, dash, high = piece.strip().partition("-")
        if not low.isdigit() or (dash and not high.isdigit()):
            raise UserError(f"--parts {text}: expected numbers and ranges, for example 0-9,12")
        parts.update(range(int(low), int(high if dash else low) + 1))
    return frozenset(parts)
