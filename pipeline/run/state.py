"""What is committed and what is due: records by stage and part, and the tasks that a change makes necessary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.run.commits import RESULT, part_of_path, record_path
from pipeline.run.fingerprint import columns_digest, fingerprint, joined_digest
from pipeline.run.plan import Plan, read_removed, slice_to_json
from pipeline.run.record_index import Records, read_stage
from pipeline.run.task import Task, reference_of
from pipeline.storage.base import Storage
from pipeline.storage.files import SourceFiles
from schemas.commit import CommitRecord
from schemas.config import Config
from schemas.records import part_name
from stages.stage import Input

Inputs = dict[str, str | None]  # digest by dataset; None: an optional one that is absent


class RunState:
    """`stages`: all stages of the project, in their order, whether they run now or not."""

    def __init__(
        self,
        storage: Storage,
        stages: Sequence[type[Any]],
        config: Config,
        plan: Plan,
        settings: Mapping[str, dict[str, Any]] | None = None,
        trust_index: bool = True,
    ) -> None:
        self.storage = storage
        self.stages = list(stages)
        self.config = config
        self.plan = plan
        self._records: dict[str, Records] = {}
        self._trust_index = trust_index
        self._settings = dict(settings or {})
        self._removed: dict[int, list[str]] = {}  # by part
        for source_id, entry in sorted(read_removed(storage).items()):
            for part in entry["parts"]:
                self._removed.setdefault(part, []).append(source_id)
        self._producers = {folder: stage for stage in stages for folder in folders_of(stage)}

    def records(self, stage: type[Any]) -> Records:
        if stage.name not in self._records:
            self._records[stage.name] = read_stage(self.storage, stage.name, self._trust_index)
        return self._records[stage.name]

    def add(self, stage: type[Any], part: int | None, record: CommitRecord) -> None:
        self.records(stage)[part] = record

    # -- tasks ---------------------------------------------------------------------------------------------------

    def part_task(self, stage: type[Any], part: int, stale: Sequence[str] = ()) -> Task | None:
        """The task of one part of a map stage; None while an input that it needs is not committed."""
        inputs = self.part_inputs(stage, part)
        if inputs is None:
            return None
        piece = None if stage.inputs else self.plan[part]
        source = slice_to_json(piece) if piece is not None else None
        if source is not None and part in self._removed:
            source["removed"] = self._removed[part]
        return Task(
            stage=reference_of(stage),
            part=part,
            fingerprint=fingerprint(stage.name, stage.version, self.settings(stage), inputs, source),
            inputs=inputs,
            slice=piece,
            digests=self._wanted_digests(stage),
            stale=tuple(stale),
        )

    def merge_task(self, stage: type[Any]) -> Task | None:
        """The task that merges the parts of a stage; None while one of them is not committed."""
        inputs = self.merge_inputs(stage)
        if inputs is None:
            return None
        settings = stage.merge_settings(self.config) if hasattr(stage, "merge_settings") else self.settings(stage)
        number = fingerprint(f"{stage.name}/{RESULT}", stage.version, settings, inputs)
        return Task(reference_of(stage), None, number, inputs, stale=self._files_of_result(stage, None))

    def job_task(self, stage: type[Any]) -> Task | None:
        """The task of a job; None while an input that it needs is not committed for every part."""
        inputs = self.job_inputs(stage)
        if inputs is None:
            return None
        number = fingerprint(stage.name, stage.version, self.settings(stage), inputs)
        ranks = stage.ranks(self.config) if hasattr(stage, "ranks") else 1
        return Task(
            reference_of(stage), 0, number, inputs, stale=self._files_of_result(stage, 0), job=True, ranks=ranks
        )

    def part_inputs(self, stage: type[Any], part: int) -> Inputs | None:
        inputs: Inputs = {}
        for item in stage.inputs:
            inputs[item.dataset] = self.digest(item, part)
            if inputs[item.dataset] is None and not item.optional:
                return None
        return inputs

    def merge_inputs(self, stage: type[Any]) -> Inputs | None:
        """The merged result depends on the parts, and on all that they depend on: images come from the tables."""
        records = self.records(stage)
        if any(part not in records for part in self.plan):
            return None
        seen = (f"{records[part].fingerprint} {_files_digest(records[part], '')}" for part in self.plan)
        return {stage.name: joined_digest(seen)}

    def job_inputs(self, stage: type[Any]) -> Inputs | None:
        """An input counts when every part of it is committed; an optional one may also be absent altogether."""
        inputs: Inputs = {}
        for item in stage.inputs:
            producer = self.producer(item.dataset)
            records = self.records(producer) if producer is not None else {}
            parts = [0] if producer is not None and producer.kind == "job" else list(self.plan)
            there = [part for part in parts if part in records]
            if len(there) < len(parts) and (there or not item.optional):
                return None
            found = [digest for part in there if (digest := self.digest(item, part)) is not None]
            inputs[item.dataset] = joined_digest(found) if found else None
        return inputs

    def is_due(self, stage: type[Any], task: Task, listed: dict[str, int]) -> bool:
        """Whether the record is absent, speaks of something else, or lacks one of its files (by size)."""
        record = self.records(stage).get(task.part)
        if record is None or record.fingerprint != task.fingerprint:
            return True
        return any(listed.get(entry.path) != entry.size for entry in record.files)

    def _files_of_result(self, stage: type[Any], part: int | None) -> tuple[str, ...]:
        record = self.records(stage).get(part)
        return () if record is None else (record_path(stage.name, part), *(entry.path for entry in record.files))

    # -- what tasks depend on --------------------------------------------------------------------------------------

    def settings(self, stage: type[Any]) -> dict[str, Any]:
        if stage.name not in self._settings:  # it may hash weights
            self._settings[stage.name] = stage.settings(self.config)
        return self._settings[stage.name]

    def producer(self, dataset: str) -> type[Any] | None:
        """The stage that writes a dataset."""
        return self._producers.get(dataset)

    def digest(self, item: Input, part: int) -> str | None:
        """Of one part of a dataset: of its files, or of the columns that matter. None: it has none."""
        producer = self.producer(item.dataset)
        record = self.records(producer).get(part) if producer is not None else None
        if record is None:
            return None
        if item.columns:
            known: str | None = record.notes.get("digests", {}).get(f"{item.dataset}:{','.join(item.columns)}")
            return known or self._computed_digest(record, item, part)
        return _files_digest(record, item.dataset + "/")

    def _computed_digest(self, record: CommitRecord, item: Input, part: int) -> str | None:
        """For records of before a stage asked for these columns."""
        path = f"{item.dataset}/{part_name(part)}"
        if path not in {entry.path for entry in record.files}:
            return None
        names = sorted({column.partition(".")[0] for column in item.columns})
        return columns_digest(SourceFiles(self.storage).read_table(path, names), item.columns)

    def _wanted_digests(self, stage: type[Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        wanted = {
            (item.dataset, item.columns)
            for other in self.stages
            for item in other.inputs
            if item.columns and self.producer(item.dataset) is stage
        }
        return tuple(sorted(wanted))

    # -- files -----------------------------------------------------------------------------------------------------

    def listed(self, stage: type[Any]) -> dict[str, int]:
        """Size of every file in the folders that are this stage's."""
        found: dict[str, int] = {}
        for folder in folders_of(stage):
            for path, size in self.storage.list(folder).items():
                if self.owner(path) is stage:
                    found[path] = size
        return found

    def owner(self, path: str) -> type[Any] | None:
        """The stage whose folder the file lies in; the deepest folder counts."""
        folder = path
        while folder:
            folder = folder.rpartition("/")[0]
            if folder in self._producers:
                return self._producers[folder]
        return None

    def left_over(self) -> Iterator[str]:
        """Records and files of parts that the plan no longer has, the records first."""
        for stage in self.stages:
            if stage.kind == "job":
                continue
            records = self.storage.list(f"commits/{stage.name}")
            for path in [*records, *self.listed(stage)]:
                part = part_of_path(path)
                if part is not None and part not in self.plan:
                    yield path


def folders_of(stage: type[Any]) -> Iterable[str]:
    return (*stage.outputs, f"rejects/{stage.name}")


def _files_digest(record: CommitRecord, prefix: str) -> str | None:
    digests = [entry.sha256 for entry in record.files if entry.path.startswith(prefix)]
    return joined_digest(digests) if digests else None
