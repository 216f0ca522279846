"""One attempt at one part: run the stage, publish its files, write the commit record; the same inline and on Ray."""

from __future__ import annotations

import platform
import time
import traceback
import uuid
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import Any

from pipeline.execution.heartbeat import Heartbeat
from pipeline.execution.weights import local_config
from pipeline.run.commits import record_path, write_record
from pipeline.run.fingerprint import columns_digest
from pipeline.run.lock import holds
from pipeline.run.plan import read_plan, read_removed
from pipeline.run.task import Context, Outcome, Task, is_result, load_class
from pipeline.storage.base import Storage
from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.open import open_storage
from pipeline.storage.retry import StoreError
from schemas.commit import CommitRecord, Counts
from schemas.config import Config
from stages.stage import Slice, UserError, reject_rows


class LockLostError(Exception):
    """Another run has the folder now: this one must not commit any more."""


class Worker:
    """Runs tasks one after the other; a stage (and its model) stays loaded until a task of another stage comes."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.storage: Storage = open_storage(context.root)
        self._stage: tuple[str, Any] = ("", None)

    @cached_property
    def config(self) -> Config:
        return local_config(self.context)

    def run(self, task: Task) -> Outcome:
        attempt = f"{task.stage.partition(':')[2]}-{task.part}-{uuid.uuid4().hex[:8]}"
        beat = Heartbeat(self.storage, task, attempt)
        try:
            beat(0, 0, "")
            record = self._run_job(task, attempt, beat) if is_result(task) else self._run_part(task, attempt, beat)
            return Outcome(task, record.to_json())
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

    def _run_part(self, task: Task, attempt: str, beat: Heartbeat) -> CommitRecord:
        assert task.part is not None
        start = time.monotonic()
        io = PartFiles(self.storage, task.part, self._without_removed(task.slice), attempt, beat)
        try:
            stage = self._load(task.stage)
            result = stage.run_part(io)
            if stage.kind == "map" and f"rejects/{stage.name}" not in io.written:
                io.write(f"rejects/{stage.name}", reject_rows(stage.name, []))
            digests = {f"{name}:{','.join(columns)}": columns_digest(io.written[name], columns)
                       for name, columns in task.digests if name in io.written}  # fmt: skip
            notes = {**result.notes, "inputs": dict(task.inputs), "digests": digests}
            record = self._record(task, result.counts, io.entries(), notes, time.monotonic() - start)
            self._delete_stale(task, {entry.path for entry in record.files})
            io.publish()
        except BaseException:
            io.discard()
            raise
        write_record(self.storage, record, task.part)
        return record

    def _run_job(self, task: Task, attempt: str, beat: Heartbeat) -> CommitRecord:
        start = time.monotonic()
        stage = self._load(task.stage)
        parts = list(read_plan(self.storage))
        io = RunFiles(self.storage, parts, attempt, beat)
        if task.job:
            self._make_room(task, stage)
        notes = dict(self._job_notes(stage, io, task, attempt) if task.job else stage.merge(io))
        if task.job:
            io.register_existing(stage.outputs)
        self._delete_stale(task, set(io.created))
        entries = tuple(io.created[path] for path in sorted(io.created))
        counts = Counts(len(parts), len(parts))
        record = self._record(task, counts, entries, {**notes, "inputs": dict(task.inputs)}, time.monotonic() - start)
        write_record(self.storage, record, task.part)
        if task.job:
            self.storage.delete(_job_marker(stage.name))
        return record

    def _job_notes(self, stage: Any, io: RunFiles, task: Task, attempt: str) -> dict[str, Any]:
        if task.ranks == 1:
            notes: dict[str, Any] = stage.run_job(io)
            return notes
        from pipeline.execution.ranks import run_ranks

        return run_ranks(self.context, task, attempt)

    def _make_room(self, task: Task, stage: Any) -> None:
        """What an interrupted job left is its to go on from, unless it was working on something else."""
        marker = _job_marker(stage.name)
        left = self.storage.read_or_none(marker)
        if left is None or left.decode() != task.fingerprint:
            self.storage.delete(record_path(stage.name, task.part))
            for folder in stage.outputs:
                self.storage.delete_folder(folder)
            self.storage.write(marker, task.fingerprint.encode())

    def _delete_stale(self, task: Task, written: set[str]) -> None:
        """Takes back the former result before the new one appears: the record first, then files without a successor."""
        if not holds(self.storage, self.context.run_id):
            raise LockLostError("the run folder has been taken over by another run; nothing was committed")
        record = record_path(self._stage[1].name, task.part)
        if record in task.stale:
            self.storage.delete(record)
        for path in task.stale:
            if path not in written and path != record:
                self.storage.delete(path)

    def _record(
        self, task: Task, counts: Counts, entries: tuple[Any, ...], notes: dict[str, Any], seconds: float
    ) -> CommitRecord:
        if not counts.balanced:
            raise AssertionError(f"the stage lost count: {counts.to_json()}")
        stage = self._stage[1]
        part = -1 if task.part is None else task.part
        versions = {**_versions(), "stage": str(stage.version)}
        return CommitRecord(stage.name, part, task.fingerprint, counts, entries, round(seconds, 3), versions, notes)

    def _load(self, reference: str) -> Any:
        if self._stage[0] != reference:
            self._stage = ("", None)  # lets go of the former model before the next one comes
            self._stage = (reference, load_class(reference)(self.config))
        return self._stage[1]


def _job_marker(stage: str) -> str:
    return f"state/jobs/{stage}"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:500]
    named = type(error).__module__ == "builtins" or not text  # an error of ours speaks for itself
    return f"{type(error).__name__}: {text}" if named else text


def _versions() -> dict[str, str]:
    import pyarrow as pa

    from pipeline import __version__

    return {"phrasebox": __version__, "python": platform.python_version(), "pyarrow": pa.__version__}
