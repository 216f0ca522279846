"""What is committed and what is due: records by stage and target, and the tasks that a change makes necessary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.run.commits import record_path
from pipeline.run.digests import Digests, Found, files_digest
from pipeline.run.fingerprint import fingerprint, joined_digest
from pipeline.run.plan import Plan, read_removed, slice_to_json
from pipeline.run.producers import find_producers, folders_of, owner
from pipeline.run.record_index import Records, read_stage
from pipeline.run.target import RESULT, Target, part_of_path, part_target, result_of
from pipeline.run.task import Task, reference_of
from pipeline.storage.base import Storage
from pipeline.storage.files import sha256_of
from schemas.commit import CommitRecord
from schemas.config import Config
from stages.stage import Input, JobStage, PlannerStage, ReduceStage, Stage

Inputs = dict[str, str | None]  # digest by dataset; None: an optional one that is absent
Wanted = tuple[tuple[str, tuple[str, ...]], ...]  # (dataset, columns)


class RunState:
    """`stages`: all stages of the project, in their order, whether they run now or not."""

    def __init__(
        self,
        storage: Storage,
        stages: Sequence[type[Stage]],
        config: Config,
        plan: Plan,
        settings: Mapping[str, dict[str, Any]] | None = None,
        trust_index: bool = True,
    ) -> None:
        self.storage = storage
        self.stages = list(stages)
        self.config = config
        self.plan = plan
        self.producers = find_producers(stages)
        self.digests = Digests(storage, self.producers, self.records, plan)
        self._records: dict[str, Records] = {}
        self._trust_index = trust_index
        self._settings = dict(settings or {})
        self._inputs: dict[str, tuple[Input, ...]] = {}
        self._wanted: dict[str, Wanted] = {}
        self._removed: dict[int, list[str]] = {}  # by part
        for source_id, entry in sorted(read_removed(storage).items()):
            for part in entry["parts"]:
                self._removed.setdefault(part, []).append(source_id)

    def records(self, stage: type[Stage]) -> Records:
        if stage.name not in self._records:
            self._records[stage.name] = read_stage(self.storage, stage, self._trust_index)
        return self._records[stage.name]

    def add(self, stage: type[Stage], target: Target, record: CommitRecord) -> None:
        self.records(stage)[target] = record
        self.digests.forget()

    def drop(self, stage: type[Stage], target: Target) -> None:
        """Forgets a record that is gone: a result takes back the former one before it appears, and has failed since."""
        self.records(stage).pop(target, None)
        self.digests.forget()

    # -- tasks ---------------------------------------------------------------------------------------------------

    def part_task(self, stage: type[Stage], part: int, stale: Sequence[str] = ()) -> Task | None:
        """The task of one part of a map stage; None while an input that it needs is not committed."""
        inputs = self.part_inputs(stage, part)
        if inputs is None:
            return None
        piece = self.plan[part] if issubclass(stage, PlannerStage) else None
        source = slice_to_json(piece) if piece is not None else None
        if source is not None and part in self._removed:
            source["removed"] = self._removed[part]
        return Task(
            stage=reference_of(stage),
            target=part_target(part),
            fingerprint=fingerprint(stage.name, stage.version, self.settings(stage), inputs, source),
            inputs=inputs,
            slice=piece,
            digests=self._wanted_digests(stage),
            stale=tuple(stale),
        )

    def result_task(self, stage: type[Stage]) -> Task | None:
        """The task of a job, or that merges the parts of a stage; None while what it is made from is not committed."""
        inputs = self.result_inputs(stage)
        if inputs is None:
            return None
        if issubclass(stage, ReduceStage):
            name, settings = f"{stage.name}/{RESULT}", stage.merge_settings(self.config)
        else:
            name, settings = stage.name, self.settings(stage)
        return Task(
            stage=reference_of(stage),
            target=result_of(stage),
            fingerprint=fingerprint(name, stage.version, settings, inputs),
            inputs=inputs,
            digests=self._wanted_digests(stage),
            stale=self._files_of_result(stage),
            turned_off=tuple(
                folder
                for folder, producer in self.producers.items()
                if producer.stage is not stage and not producer.stage.enabled(self.config)
            ),
        )

    def part_inputs(self, stage: type[Stage], part: int) -> Inputs | None:
        inputs: Inputs = {}
        for item in self.inputs(stage):
            found = self.digests.look_up(item, part)
            if not found.serves_part(item):
                return None
            inputs[item.dataset] = found.digest
        return inputs

    def result_inputs(self, stage: type[Stage]) -> Inputs | None:
        inputs = self._job_inputs(stage) if issubclass(stage, JobStage) else self._merge_inputs(stage)
        return None if inputs is None else inputs | self._written_by_people(stage)

    def _written_by_people(self, stage: type[Stage]) -> Inputs:
        """The digest of each such folder that has files; they are small."""
        paths = {folder: self.storage.list(folder) for folder in stage.written_by_people(self.config)}
        return {
            folder: joined_digest(sha256_of(self.storage, path) for path in listed)
            for folder, listed in paths.items()
            if listed
        }

    def _job_inputs(self, stage: type[Stage]) -> Inputs | None:
        found: dict[Input, Found] = {item: self.digests.of_run(item) for item in self.inputs(stage)}
        if not all(entry.serves(item) for item, entry in found.items()):
            return None
        return {item.dataset: entry.digest for item, entry in found.items()}

    def _merge_inputs(self, stage: type[Stage]) -> Inputs | None:
        """The merged result depends on the parts, and on all that they depend on: images come from the tables."""
        records = self.records(stage)
        parts = [part_target(part) for part in self.plan]
        if any(part not in records for part in parts):
            return None
        seen = (f"{records[part].fingerprint} {files_digest(records[part], '')}" for part in parts)
        return {stage.name: joined_digest(seen)}

    def is_due(self, stage: type[Stage], task: Task, listed: Mapping[str, int]) -> bool:
        """Whether the record is absent, speaks of something else, or lacks one of its files (by size)."""
        record = self.records(stage).get(task.target)
        if record is None or record.fingerprint != task.fingerprint:
            return True
        return any(listed.get(entry.path) != entry.size for entry in record.files)

    def _files_of_result(self, stage: type[Stage]) -> tuple[str, ...]:
        target = result_of(stage)
        record = self.records(stage).get(target)
        return () if record is None else (record_path(stage.name, target), *(entry.path for entry in record.files))

    # -- what tasks depend on --------------------------------------------------------------------------------------

    def inputs(self, stage: type[Stage]) -> tuple[Input, ...]:
        """What a stage reads. An optional input whose stage is turned off is absent, whatever lies in its folder."""
        if stage.name not in self._inputs:
            declared = stage.all_inputs(self.stages[: self.stages.index(stage)])
            self._inputs[stage.name] = tuple(
                item
                for item in declared
                if not item.optional or (self.is_on(item.dataset) and stage.reads(self.config, item))
            )
        return self._inputs[stage.name]

    def is_on(self, dataset: str) -> bool:
        """Whether a stage of the project writes the dataset, and is enabled."""
        producer = self.producers.get(dataset)
        return producer is not None and producer.stage.enabled(self.config)

    def producer(self, dataset: str) -> type[Stage] | None:
        """The stage that writes a dataset."""
        producer = self.producers.get(dataset)
        return producer.stage if producer is not None else None

    def settings(self, stage: type[Stage]) -> dict[str, Any]:
        if stage.name not in self._settings:  # it may hash weights
            self._settings[stage.name] = stage.settings(self.config)
        return self._settings[stage.name]

    def _wanted_digests(self, stage: type[Stage]) -> Wanted:
        if stage.name not in self._wanted:
            self._wanted[stage.name] = self._find_wanted(stage)
        return self._wanted[stage.name]

    def _find_wanted(self, stage: type[Stage]) -> Wanted:
        """Columns of this stage's datasets that enabled stages depend on."""
        wanted = {
            (item.dataset, item.columns)
            for other in self.stages
            if other.enabled(self.config)
            for item in self.inputs(other)
            if item.columns and self.producer(item.dataset) is stage
        }
        return tuple(sorted(wanted))

    # -- files -----------------------------------------------------------------------------------------------------

    def listed(self, stage: type[Stage]) -> dict[str, int]:
        """Size of every file in the folders that are this stage's."""
        found: dict[str, int] = {}
        for folder in folders_of(self.producers, stage):
            for path, size in self.storage.list(folder).items():
                if self.owner(path) is stage:
                    found[path] = size
        return found

    def owner(self, path: str) -> type[Stage] | None:
        """The stage whose folder the file lies in; the deepest folder counts."""
        producer = owner(self.producers, path)
        return producer.stage if producer is not None else None

    def left_over(self) -> Iterator[str]:
        """Records and files of parts that the plan no longer has, the records first."""
        for stage in self.stages:
            records = () if issubclass(stage, JobStage) else self.storage.list(f"commits/{stage.name}")
            for path in [*records, *self.part_files(self.listed(stage))]:
                part = part_of_path(path)
                if part is not None and part not in self.plan:
                    yield path

    def part_files(self, paths: Iterable[str], of_results: bool = True) -> Iterator[str]:
        """Those files that belong to a part of the plan; `of_results` off: and that this part's task has written."""
        for path in paths:
            producer = owner(self.producers, path)
            if producer is not None and producer.output.scope == "part" and (of_results or not producer.by_result):
                yield path
