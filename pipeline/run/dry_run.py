"""`--dry-run`: what a run would make, counted from the plan and the records, and what stages say of it beforehand.

Nothing is written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from pipeline.run.interrupted import is_under_way
from pipeline.run.runner import Selection, missing_input
from pipeline.run.state import RunState
from pipeline.storage.base import Storage
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_storage
from pipeline.storage.scratch import ScratchFolder
from stages.stage import Input, JobStage, MapStage, ReduceStage, Stage


@dataclass
class Due:
    """What is to be made, by stage."""

    parts: dict[str, set[int]] = field(default_factory=dict)
    results: set[str] = field(default_factory=set)  # of stages whose job, or merged result, is due


def dry_run(state: RunState, selection: Selection, workers: int) -> list[str]:
    """One line a stage: parts and pairs to make, and the hours it takes at the rate of the parts made before."""
    pairs = sum(piece.stop - piece.start for piece in state.plan.values())
    lines = [f"{len(state.plan):,} parts, {pairs:,} pairs in the plan"]
    due = Due()
    hours, unknown = 0.0, []
    for stage in selection.stages:
        if not issubclass(stage, JobStage):
            due.parts[stage.name] = _due_parts(state, stage, due, selection)
        if issubclass(stage, JobStage | ReduceStage) and _result_due(state, stage, due, selection):
            due.results.add(stage.name)
        if issubclass(stage, JobStage):
            lines.append(f"  {stage.name:9} {'to be made' if stage.name in due.results else 'done'}")
            lines += _forecast(state, stage) if stage.name in due.results else []
            continue
        text, took = _cost(state, stage, due.parts[stage.name], workers)
        lines.append(f"  {stage.name:9} {text}")
        if stage.name in due.results or due.parts[stage.name]:
            lines += _forecast_parts(state, stage, workers)
        if took is None:
            unknown.append(stage.name)
        else:
            hours += took
    total = f"about {hours:.1f} h with {workers} workers"
    return [*lines, total + (f", without {', '.join(unknown)}: no rate is known yet" if unknown else "")]


def _forecast(state: RunState, stage: type[JobStage]) -> list[str]:
    """What a job says of itself, by what is in the run now; nothing where what it is made from is not there."""
    task = state.result_task(stage)
    if task is None:
        return []
    under_way = is_under_way(state.storage, stage, task.fingerprint)
    hidden = [] if under_way else [output.folder for output in stage.outputs]  # the job will not see it
    with tempfile.TemporaryDirectory(prefix="phrasebox-dry-run-") as folder:
        files = ScratchFiles(state.storage, list(state.plan), [*task.turned_off, *hidden], folder)
        return [f"  {'':9} {line}" for line in stage(state.config).forecast(files)]


def _forecast_parts(state: RunState, stage: type[Stage], workers: int) -> list[str]:
    """What a map stage says of its parts, by those whose inputs are there."""
    if not issubclass(stage, MapStage) or stage.forecast is MapStage.forecast:
        return []
    there = [part for part in state.plan if state.part_inputs(stage, part) is not None]
    if not there:
        return [f"  {'':9} no estimate: {missing_input(state, stage, next(iter(state.plan)))}"]
    with tempfile.TemporaryDirectory(prefix="phrasebox-dry-run-") as folder:
        lines = stage(state.config).forecast(ScratchFiles(state.storage, there, (), folder), workers)
    if len(there) < len(state.plan):
        lines = [f"estimated from the {len(there):,} parts whose inputs are there", *lines]
    return [f"  {'':9} {line}" for line in lines]


class ScratchFiles(RunFiles):
    """The files of a run as a stage sees them in a dry run: what it writes goes to another folder."""

    def __init__(self, storage: Storage, parts: Sequence[int], turned_off: Sequence[str], folder: str) -> None:
        super().__init__(storage, parts, "dry-run", _unheard, turned_off)
        self._written = RunFiles(open_storage(folder), parts, "dry-run", _unheard)

    @property
    def scratch(self) -> ScratchFolder:
        return self._written.scratch

    def files(self, folder: str) -> list[str]:
        return sorted({*super().files(folder), *self._written.files(folder)})

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        with self._written.open(path) if path in self._written.created else super().open(path) as file:
            yield file

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        with self._written.create(path) as file:
            yield file

    def delete(self, path: str) -> None:
        if path in self._written.created:
            self._written.delete(path)


def _unheard(done: int, total: int, message: str) -> None:
    """Nobody waits for a dry run."""


def _due_parts(state: RunState, stage: type[Stage], due: Due, selection: Selection) -> set[int]:
    """Parts whose record does not hold, and those that come after a part that is to be made."""
    wanted = set(state.plan) if selection.parts is None else set(state.plan) & set(selection.parts)
    if selection.force:
        return wanted
    found = wanted & _due_before(state, stage, due)
    listed = state.listed(stage)
    for part in wanted - found:
        task = state.part_task(stage, part)
        if task is None or state.is_due(stage, task, listed):
            found.add(part)
    return found


def _due_before(state: RunState, stage: type[Stage], due: Due) -> set[int]:
    """The parts whose inputs are to be made; all of them where one is that every part reads."""
    found: set[int] = set()
    for item in state.inputs(stage):
        producer = state.producers.get(item.dataset)
        if producer is not None and (producer.by_result or item.scope == "run"):
            found |= set(state.plan) if _is_due(state, item, due) else set()
        elif producer is not None:
            found |= due.parts.get(producer.stage.name, set())
    return found


def _result_due(state: RunState, stage: type[Stage], due: Due, selection: Selection) -> bool:
    before = any(_is_due(state, item, due) for item in state.inputs(stage))
    if selection.force or due.parts.get(stage.name) or (issubclass(stage, JobStage) and before):
        return True
    task = state.result_task(stage)
    return task is None or state.is_due(stage, task, state.listed(stage))


def _is_due(state: RunState, item: Input, due: Due) -> bool:
    """Whether anything of a dataset is to be made."""
    producer = state.producers.get(item.dataset)
    if producer is None:
        return False
    return producer.stage.name in due.results if producer.by_result else bool(due.parts.get(producer.stage.name))


def _cost(state: RunState, stage: type[Stage], parts: set[int], workers: int) -> tuple[str, float | None]:
    if not parts:
        return "done", 0.0
    pairs = sum(state.plan[part].stop - state.plan[part].start for part in parts)
    text = f"{len(parts):,} parts, {pairs:,} pairs to make"
    records = [record for _, record in state.records(stage).parts()]
    made = sum(record.counts.in_ for record in records)
    if not made:
        return f"{text}, at an unknown rate", None
    hours = pairs * sum(record.seconds for record in records) / made / workers / 3600
    return f"{text}, about {hours:.2f} h", hours
