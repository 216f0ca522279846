"""What the commands do, below the command line. Those that end with another exit code than 0 raise typer.Exit."""

from __future__ import annotations

import difflib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import typer

from model.cards import notes
from pipeline.execution.inline import InlineExecutor
from pipeline.run import rounds
from pipeline.run.config import dump, load_config, resolve
from pipeline.run.dry_run import dry_run
from pipeline.run.existing import existing_run
from pipeline.run.lock import RunLock
from pipeline.run.plan import read_plan
from pipeline.run.progress import LINE_EVERY, make_display, printable
from pipeline.run.runner import Report, Runner, Selection, settings_of
from pipeline.run.state import RunState
from pipeline.run.summary import summary
from pipeline.run.task import Executor
from pipeline.storage.base import Storage
from pipeline.storage.files import SourceFiles
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages import STAGES, load_stage, stages_of, with_siblings
from stages.stage import JobStage, Stage, UserError


@dataclass(frozen=True)
class Options:
    """How a command runs its stages; nothing of it enters a fingerprint."""

    workers: int | None = None
    address: str | None = None
    inline: bool = False
    parts: str | None = None
    dry_run: bool = False
    force: bool = False
    deadline: float = 3600.0
    verbose: bool = False


def project(config: Config | None = None) -> list[type[Stage]]:
    """All stages, with those that a config makes of them."""
    return stages_of(config or Config())


def run_stage(file: str | None, settings: Sequence[str], run: str | None, name: str, options: Options) -> None:
    """Runs one stage, be it enabled or not, and what the config has made of it."""
    config = load_config(file, settings, run)
    stage = load_stage(name)
    run_config(config, with_siblings(stage, config), options)
    if not stage.enabled(config):
        complain(f"{name} is off in the config: no other stage reads what it has written")


def run_rounds(
    file: str | None, settings: Sequence[str], run: str | None, first: str | None, last: str | None, options: Options
) -> None:
    """Runs the enabled stages from `first` to `last` (None: all), and the later rounds that the config asks for, whole
    up to `last`, where this call trains a student."""
    config = load_config(file, settings, run)
    names = enabled_names(config, first, last)
    following = [rounds.config_of(config, number) for number in range(2, config.rounds + 1) if "train" in names]
    run_config(config, enabled_stages(config, first, last), options)
    for number, later in enumerate(following, 2):
        say(f"round {number} of {config.rounds}: {later.run}")
        if options.dry_run and not rounds.has_teacher(later):
            say("  to be made with the student of the round before, which is not there yet")
            return
        if not options.dry_run:
            rounds.inherit(open_storage(config.run), open_storage(later.run))
        run_config(later, enabled_stages(later, None, last), options)


def run_config(config: Config, stages: Sequence[type[Stage]], options: Options) -> None:
    every = project(config)
    selection = Selection(stages, parse_parts(options.parts), options.force)
    starting = selection.planner is not None or selection.alone
    storage = open_storage(config.run) if starting else existing_run(config.run)
    config = resolve(config, every, selection.stages)
    if options.dry_run:
        show_plan(storage, config, every, selection, options)
    else:
        execute(storage, config, every, selection, options)


def execute(
    storage: Storage, config: Config, every: Sequence[type[Stage]], selection: Selection, options: Options
) -> None:
    if any(stage.name.partition("-")[0] == "label" for stage in selection.stages):
        say(*(f"{teacher}: {about}" for teacher, about in notes(config.label).items()))
    with make_executor(options) as executor:
        report = Runner(storage, config, every, executor, make_display(storage, options.verbose)).run(selection)
    finish(report)


def retry(run: str, reason: str, options: Options) -> None:
    """Makes the parts again in which a row was rejected for this reason, and what lies downstream of what changes."""
    from pipeline.run.edit import parts_with_reason

    state = run_state(run)
    again = parts_with_reason(state, reason)
    if not again:
        say(f"{run}: no row was rejected as {reason}")
        return
    say(*(f"{stage}: {len(parts):,} parts with {reason}" for stage, parts in again.items()))
    stages = [stage for stage in started(state) if stage.enabled(state.config)]
    first = min(stages.index(stage) for stage in stages if stage.name in again)
    execute(state.storage, state.config, state.stages, Selection(stages[first:], again=again, replan=False), options)


def remove(run: str, ids_file: str, options: Options) -> None:
    """Takes pairs out of every stage down to the shards and the report, and keeps a record of it in the run."""
    from pipeline.run.edit import note_removal, read_ids, refuse_repeated

    state = run_state(run)
    try:
        with open(ids_file, encoding="utf-8") as file:
            ids = read_ids(file)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--source-ids {ids_file}: cannot be read ({error})") from None
    refuse_repeated(state.storage, list(state.plan), ids)
    with RunLock(state.storage):
        where = note_removal(state.storage, list(state.plan), ids)
    parts = {part for found in where.values() for part in found}
    absent = [source_id for source_id, found in where.items() if not found]
    say(f"{len(ids) - len(absent):,} of {len(ids):,} ids are in this run, in {len(parts):,} parts")
    if absent:
        more = ", ..." if len(absent) > 5 else ""
        say(f"not here, and kept out from now on: {', '.join(absent[:5])}{more}")
    stages = [stage for stage in started(state) if writes_parts(stage)]
    jobs = [stage.name for stage in started(state) if stage not in stages]
    if parts and jobs:
        say(f"made from the pairs as they were, until you run them again: {', '.join(jobs)}")
    fresh = run_state(run)
    selection = Selection(stages, None if spreads(fresh, stages) else parts, replan=False)
    execute(fresh.storage, fresh.config, fresh.stages, selection, options)


def writes_parts(stage: type[Stage]) -> bool:
    """Not a job like training, which takes hours and has no rows of its own."""
    return not issubclass(stage, JobStage) or any(output.scope == "part" for output in stage.outputs)


def spreads(state: RunState, stages: Sequence[type[Stage]]) -> bool:
    """Whether a change in one part can reach others: a result is read by the parts of a later stage."""
    folders = [folder for folder, producer in state.producers.items() if producer.by_result]
    return any(
        item.dataset in folders or item.scope == "run"
        for stage in stages
        if writes_parts(stage) and not issubclass(stage, JobStage)
        for item in state.inputs(stage)
    )


def started(state: RunState) -> list[type[Stage]]:
    """The stages that have made something in this run, in their order."""
    return [stage for stage in state.stages if state.records(stage)]


def run_state(run: str, trust_index: bool = True) -> RunState:
    """An existing run as it stands, with its own config."""
    storage = existing_run(run)
    config = load_config(None, (), run)
    return RunState(storage, project(config), config, read_plan(storage), trust_index=trust_index)


def show_plan(
    storage: Storage, config: Config, every: Sequence[type[Stage]], selection: Selection, options: Options
) -> None:
    runner = Runner(storage, config, every, InlineExecutor(), make_display(storage, options.verbose))
    plan = runner.plan(selection, read_plan(storage))
    state = RunState(storage, every, runner.config, plan, settings_of(selection.stages, runner.config))
    if runner.planner is not None:
        say(*runner.planner.describe(SourceFiles(storage), list(plan.values())))
        unused = ", ".join(f"{number:,} {what}" for what, number in runner.planner.unused.items())
        say(f"not used   {unused or 'nothing'}")
    say(*dry_run(state, selection, 1 if options.inline else options.workers or os.cpu_count() or 1))


def make_executor(options: Options) -> Executor:
    if options.inline:
        return InlineExecutor()
    from pipeline.execution.ray_pool import RayExecutor

    return RayExecutor(options.workers, options.address, options.deadline, options.verbose)


def finish(report: Report) -> None:
    if not report.failed and not report.waiting:
        if not any(report.made.values()):
            say("nothing to be done: everything is committed")
        say(*summary(report.state))
        return
    if report.failed:
        named = "; ".join(failure.where for failure in report.failed[:20])
        more = f" and {len(report.failed) - 20} more" if len(report.failed) > 20 else ""
        complain(f"failed: {named}{more}; the next run tries again")
    if report.waiting:
        waiting = ", ".join(f"{stage} ({count:,})" for stage, count in report.waiting.items())
        complain(f"not made, because what they need is not there: {waiting}")
    raise typer.Exit(1)


def verify_run(run: str, quick: bool, workers: int | None) -> None:
    from pipeline.run.verify import verify

    verdict = verify(run_state(run, trust_index=False), quick, workers or os.cpu_count() or 1)
    for problem in verdict.problems:
        complain(str(problem))
    checked = ", ".join(f"{stage} {count:,}" for stage, count in verdict.checked.items())
    if verdict.problems:
        broken = {(problem.stage, problem.target) for problem in verdict.problems}
        complain(f"{len(broken):,} broken parts; `phrasebox STAGE --run {run} --parts N --force` makes a part again")
        raise typer.Exit(1)
    say(f"{run}: all in order ({checked or 'nothing committed yet'})")


def show_status(run: str, as_json: bool) -> None:
    from pipeline.run import status

    storage = existing_run(run)
    config = load_config(None, (), run)
    found = status.run_status(storage, project(config), config)
    say(*([status.as_json(found)] if as_json else status.as_lines(found)))


def watch_run(run: str) -> None:
    """Until nothing is at work on the run, or Ctrl-C: a screen on a terminal, elsewhere one block after the other."""
    from pipeline.run.watch import Watch

    storage, config = existing_run(run), load_config(None, (), run)
    watch = Watch(storage, project(config), config)
    every = (1.0 if storage.local else 10.0) if sys.stdout.isatty() else LINE_EVERY
    try:
        while True:
            found, lines = watch.look(time.monotonic())
            if sys.stdout.isatty():
                sys.stdout.write("\x1b[H\x1b[2J")  # to the top, on an empty screen
            say(*lines)
            sys.stdout.flush()
            if not found.running:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        say("")


def show_config(file: str | None, settings: Sequence[str], run: str | None) -> None:
    config = load_config(file, settings, run)
    say(dump(resolve(config, project(config), [])).rstrip())


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


def enabled_names(config: Config, first: str | None, last: str | None) -> list[str]:
    """Raises UserError where no stage is left."""
    names = [name for name in stage_names(first, last) if load_stage(name).enabled(config)]
    if not names:
        raise UserError(
            f"{first or last} is off in the config; turn it on there, or run it alone: phrasebox {first or last}"
        )
    return names


def enabled_stages(config: Config, first: str | None, last: str | None) -> list[type[Stage]]:
    """The stages of these names, with those that the config makes of them. Raises UserError where none is left."""
    names = enabled_names(config, first, last)
    return [stage for name in names for stage in with_siblings(load_stage(name), config)]


def parse_parts(text: str | None) -> frozenset[int] | None:
    """`0-9,12` -> the numbers. Raises UserError."""
    if text is None:
        return None
    parts: set[int] = set()
    for piece in text.split(","):
        low, dash, high = (half.strip() for half in piece.partition("-"))
        if not low.isdigit() or (dash and not high.isdigit()) or len(low + high) > 14:
            raise UserError(f"--parts {text}: expected numbers and ranges, for example 0-9,12")
        parts.update(range(int(low), int(high if dash else low) + 1))
    return frozenset(parts)


def say(*lines: str) -> None:
    """Results go to stdout."""
    for line in lines:
        sys.stdout.write(printable(line) + "\n")


def complain(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"phrasebox: {printable(line)}\n")
