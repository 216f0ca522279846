"""One attempt at one part: run the stage, publish its files, write the commit record; the same inline and on Ray."""

from __future__ import annotations

import platform
import time
import traceback
import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline.execution.blocks import block_runner
from pipeline.execution.heartbeat import Heartbeat
from pipeline.execution.weights import local_config
from pipeline.run.commits import record_path, write_record
from pipeline.run.digests import digest_name
from pipeline.run.fingerprint import columns_digest
from pipeline.run.interrupted import begin_job, end_job
from pipeline.run.lock import holds
from pipeline.run.plan import read_plan, read_removed
from pipeline.run.task import Context, Outcome, Task, load_class
from pipeline.storage.base import Storage
from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.open import open_storage
from pipeline.storage.retry import StoreError
from schemas.commit import CommitRecord, Counts, FileEntry
from schemas.config import Config
from stages.stage import (
    JobStage,
    MapStage,
    PartResult,
    RankedJobStage,
    ReduceStage,
    Slice,
    Stage,
    UserError,
    reject_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa


class LockLostError(Exception):
    """Another run has the folder now: this one must not commit any more."""


class Worker:
    """Runs tasks one after the other; a stage that needs an actor stays loaded until a task of another stage comes."""

    def __init__(self, context: Context, workers: int | None = None) -> None:
        """`workers`: how many there may be at a time, of a merge's blocks, too."""
        self.context = context
        self.workers = workers
        self.storage: Storage = open_storage(context.root)
        self._stage: tuple[str, Stage | None] = ("", None)

    @cached_property
    def config(self) -> Config:
        return local_config(self.context)

    def run(self, task: Task) -> Outcome:
        attempt = f"{task.stage.partition(':')[2]}-{task.target.name}-{uuid.uuid4().hex[:8]}"
        beat = Heartbeat(self.storage, task, attempt)
        try:
            beat(0, 0, "")
            make = self._make_part if task.target.kind == "part" else self._make_result
            return Outcome(task, make(task, attempt, beat).to_json())
        except UserError as error:
            return Outcome(task, failure="user", error=str(error))
        except (StoreError, LockLostError) as error:
            return Outcome(task, failure="store", error=str(error), trace=traceback.format_exc())
        except Exception as error:  # noqa: BLE001 - whatever a stage raises fails its part, by name, and no other
            return Outcome(task, failure="part", error=_one_line(error), trace=traceback.format_exc())
        finally:
            with suppress(StoreError):  # a store that is down has been told of already
                beat.end()

    @cached_property
    def _removed(self) -> list[str]:
        return sorted(read_removed(self.storage))

    def _without_removed(self, piece: Slice | None) -> Slice | None:
        """Ingest leaves out what `phrasebox remove` named, in whatever part it comes."""
        if piece is None or not self._removed:
            return piece
        return replace(piece, extra={**piece.extra, "removed": self._removed})

    # -- a part ----------------------------------------------------------------------------------------------------

    def _make_part(self, task: Task, attempt: str, beat: Heartbeat) -> CommitRecord:
        start = time.monotonic()
        kind = load_class(task.stage)
        keep = [item.dataset for item in kind.inputs if item.keep and task.inputs.get(item.dataset)]
        piece = self._without_removed(task.slice)
        io = PartFiles(self.storage, task.target.part, piece, attempt, beat, task.inputs, keep)
        try:
            stage = self._load(task.stage)
            assert isinstance(stage, MapStage)
            result = stage.run_part(io)
            if stage.carries_rows and f"rejects/{stage.name}" not in io.written:
                io.write(f"rejects/{stage.name}", reject_rows(stage.name, []))
            record = self._part_record(task, stage, io, result, time.monotonic() - start)
            self._delete_stale(task, stage, {entry.path for entry in record.files})
            io.publish()
        except BaseException:
            io.discard()
            raise
        write_record(self.storage, record, task.target)
        return record

    def _part_record(self, task: Task, stage: Stage, io: PartFiles, result: PartResult, seconds: float) -> CommitRecord:
        needed = [item.dataset for item in stage.inputs if not item.optional and item.scope == "part"]
        counts = result.counts.with_set_aside(io.count_set_aside(needed))
        digests = {
            digest_name(name, columns): columns_digest(io.written[name], columns)
            for name, columns in task.digests
            if name in io.written
        }
        notes = {**result.notes, "inputs": dict(task.inputs), "digests": digests}
        return _record(task, stage, counts, io.entries(), notes, seconds)

    # -- a result --------------------------------------------------------------------------------------------------

    def _make_result(self, task: Task, attempt: str, beat: Heartbeat) -> CommitRecord:
        """The former record goes before anything of the new result appears."""
        start = time.monotonic()
        stage = self._load(task.stage)
        parts = list(read_plan(self.storage))
        digests: defaultdict[str, dict[str, str]] = defaultdict(dict)

        def wrote(dataset: str, part: int, table: pa.Table) -> None:
            for name, columns in task.digests:
                if name == dataset:
                    digests[digest_name(name, columns)][str(part)] = columns_digest(table, columns)

        io = RunFiles(self.storage, parts, attempt, beat, task.turned_off, wrote, block_runner(self.workers))
        is_job = isinstance(stage, JobStage)
        notes = dict(self._job_notes(stage, io, task, attempt) if is_job else self._merge(stage, io, task))
        self._delete_stale(task, stage, set(io.created))
        entries = tuple(io.created[path] for path in sorted(io.created))
        notes |= {"inputs": dict(task.inputs), **({"digests": dict(digests)} if digests else {})}
        record = _record(task, stage, Counts(len(parts), len(parts)), entries, notes, time.monotonic() - start)
        write_record(self.storage, record, task.target)
        if isinstance(stage, JobStage):
            end_job(self.storage, type(stage))
        return record

    def _merge(self, stage: Stage, io: RunFiles, task: Task) -> dict[str, Any]:
        assert isinstance(stage, ReduceStage)
        self._delete_record(task, stage)
        notes = stage.merge(io)
        io.scratch.clear()
        return notes

    def _job_notes(self, stage: Stage, io: RunFiles, task: Task, attempt: str) -> dict[str, Any]:
        assert isinstance(stage, JobStage)
        begin_job(self.storage, type(stage), task.fingerprint)
        needs = stage.needs(self.config)
        if isinstance(stage, RankedJobStage) and needs.ranks > 1:
            from pipeline.execution.ranks import run_ranks

            notes = run_ranks(self.context, task, needs, attempt)
        else:
            notes = stage.run_job(io)
        io.register_existing([output.folder for output in stage.outputs])
        return notes

    # -- what was there before -------------------------------------------------------------------------------------

    def _delete_record(self, task: Task, stage: Stage) -> None:
        if not holds(self.storage, self.context.run_id):
            raise LockLostError("the run folder has been taken over by another run; nothing was committed")
        record = record_path(stage.name, task.target)
        if record in task.stale:
            self.storage.delete(record)

    def _delete_stale(self, task: Task, stage: Stage, written: set[str]) -> None:
        """Takes back the former result before the new one appears: the record first, then files without a successor."""
        self._delete_record(task, stage)
        for path in task.stale:
            if path not in written and path != record_path(stage.name, task.target):
                self.storage.delete(path)

    def _load(self, reference: str) -> Stage:
        kept, stage = self._stage
        if kept != reference or stage is None:
            self._stage = ("", None)  # lets go of the former model before the next one comes
            kind = load_class(reference)
            stage = kind(self.config)
            if kind.needs(self.config).actor:
                self._stage = (reference, stage)
        return stage


def _record(
    task: Task,
    stage: Stage,
    counts: Counts,
    entries: tuple[FileEntry, ...],
    notes: dict[str, Any],
    seconds: float,
) -> CommitRecord:
    if not counts.balanced:
        raise AssertionError(f"the stage lost count: {counts.to_json()}")
    versions = {**_versions(), "stage": str(stage.version)}
    number = task.target.recorded
    return CommitRecord(stage.name, number, task.fingerprint, counts, entries, round(seconds, 3), versions, notes)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:500]
    named = type(error).__module__ == "builtins" or not text  # an error of ours speaks for itself
    return f"{type(error).__name__}: {text}" if named else text


def _versions() -> dict[str, str]:
    import pyarrow as pa

    from pipeline import __version__

    return {"phrasebox": __version__, "python": platform.python_version(), "pyarrow": pa.__version__}
