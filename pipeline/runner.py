"""The runner: plan the parts, find out which are due, hand them to an executor, stage after stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.commits import part_of_path
from pipeline.config import write_config
from pipeline.executors import Executor
from pipeline.files import SourceFiles
from pipeline.ledger import Ledger
from pipeline.lock import RunLock
from pipeline.plan import Plan, extend, read_plan, write_plan
from pipeline.progress import Display
from pipeline.storage import Storage, StoreError
from pipeline.worker import Context, Outcome, Task
from schemas.commit import CommitRecord
from schemas.config import Config
from stages.stage import UserError


@dataclass(frozen=True)
class Selection:
    """What a command asks for."""

    stages: Sequence[type[Any]]  # in their order
    parts: Collection[int] | None = None  # None: all
    force: bool = False  # make again what is committed


@dataclass
class Report:
    """What a run did."""

    made: dict[str, int] = field(default_factory=dict)  # stage: parts (or results) made
    failed: list[tuple[str, int | None, str]] = field(default_factory=list)  # stage, part, why
    blocked: dict[str, int] = field(default_factory=dict)  # stage: parts that wait for an input that is not there


class Runner:
    """One run of some stages over a run folder. `project`: all stages there are, in their order."""

    def __init__(
        self, storage: Storage, config: Config, project: Sequence[type[Any]], executor: Executor, display: Display
    ) -> None:
        self.storage = storage
        self.config = config
        self.project = project
        self.executor = executor
        self.display = display

    def run(self, selection: Selection) -> Report:
        """Raises UserError for what the user can mend, StoreError when the store fails for good."""
        report = Report()
        with RunLock(self.storage) as lock:
            sweep(self.storage)
            write_config(self.storage, self.config)
            plan = self._plan(selection)
            ledger = Ledger(self.storage, self.project, self.config, plan)
            context = Context(self.storage.root, self.config.model_dump_json(), lock.run_id)
            for stage in selection.stages:
                _StageRun(self, ledger, context, selection, report).run(stage)
        return report

    def _plan(self, selection: Selection) -> Plan:
        """The stored plan, brought up to date with the source when ingest is among the stages."""
        known = read_plan(self.storage)
        planner = next((stage for stage in selection.stages if hasattr(stage, "plan")), None)
        if planner is None:
            if not known:
                raise UserError(f"{self.storage.root} has no plan.json; run `phrasebox ingest` first")
            return known
        plan = extend(known, planner(self.config).plan(SourceFiles(self.storage), self.config.part_size))
        if not plan:
            raise UserError(f"ingest.source: nothing to read in {self.config.ingest.source}")
        if plan != known:
            gone = known.keys() - plan.keys()
            for path in list(Ledger(self.storage, self.project, self.config, plan).left_over()):
                self.storage.delete(path)
            write_plan(self.storage, plan)
            if gone:
                self.display.line(f"{len(gone)} parts are no longer in the source; removed from every stage")
        return plan


class _StageRun:
    """One stage of one run."""

    def __init__(self, runner: Runner, ledger: Ledger, context: Context, selection: Selection, report: Report) -> None:
        self.runner = runner
        self.ledger = ledger
        self.context = context
        self.selection = selection
        self.report = report
        self.display = runner.display

    def run(self, stage: type[Any]) -> None:
        if stage.kind == "job":
            self._run_result(stage, self.ledger.job_task(stage))
            return
        self._run_parts(stage)
        if hasattr(stage, "merge"):
            complete = all(part in self.ledger.records(stage) for part in self.ledger.plan)
            self._run_result(stage, self.ledger.merge_task(stage) if complete else None)

    def _run_parts(self, stage: type[Any]) -> None:
        due, blocked = self._due(stage)
        parts = self._parts()
        if blocked:
            self.report.blocked[stage.name] = blocked
        self.display.begin(stage.name, total=len(parts), done=len(parts) - len(due) - blocked)
        self._execute(stage, due)

    def _run_result(self, stage: type[Any], task: Task | None) -> None:
        """Makes a merged result or a job's, once everything before it is there."""
        if task is None or self.report.failed or self.report.blocked or self.selection.parts is not None:
            self.report.blocked.setdefault(stage.name, 1)
            self.display.line(f"{stage.name}: waits for parts that are not there yet")
            return
        listed = self.ledger.listed(stage)
        if self.selection.force or self.ledger.is_due(stage, task, listed):
            self.display.begin(stage.name, total=1, done=0, result=True)
            self._execute(stage, [task])

    def _parts(self) -> list[int]:
        wanted = self.selection.parts
        return [part for part in self.ledger.plan if wanted is None or part in wanted]

    def _due(self, stage: type[Any]) -> tuple[list[Task], int]:
        """The tasks to run, and how many parts wait for an input."""
        listed = self.ledger.listed(stage)
        files: dict[int | None, list[str]] = defaultdict(list)
        for path in [*self.runner.storage.list(f"commits/{stage.name}"), *listed]:
            files[part_of_path(path)].append(path)
        due, blocked = [], 0
        for part in self._parts():
            task = self.ledger.part_task(stage, part, files[part])
            if task is None:
                blocked += 1
            elif self.selection.force or self.ledger.is_due(stage, task, listed):
                due.append(task)
        return due, blocked

    def _execute(self, stage: type[Any], tasks: Sequence[Task]) -> None:
        self.report.made[stage.name] = self.report.made.get(stage.name, 0)
        if tasks:
            for outcome in self._outcomes(stage, tasks):
                if outcome is None:
                    self.display.tick(self.runner.storage)
                else:
                    self._settle(stage, outcome)
        self.display.end(stage.name)

    def _outcomes(self, stage: type[Any], tasks: Sequence[Task]) -> Iterator[Outcome | None]:
        return self.runner.executor.run(self.context, tasks, wants_gpu(self.runner.config, stage))

    def _settle(self, stage: type[Any], outcome: Outcome) -> None:
        part = outcome.task.part
        if outcome.record is not None:
            record = CommitRecord.from_json(outcome.record)
            self.ledger.add(stage, part, record)
            self.report.made[stage.name] += 1
            self.display.committed(record)
            return
        if outcome.failure == "user":
            raise UserError(outcome.error)
        if outcome.failure == "store":
            raise StoreError(f"{stage.name}, {part_label(part)}: {outcome.error}")
        self.report.failed.append((stage.name, part, outcome.error))
        self.display.failed(stage.name, part_label(part), outcome.error, outcome.trace)


def part_label(part: int | None) -> str:
    return "result" if part is None else f"part {part}"


def wants_gpu(config: Config, stage: type[Any]) -> bool:
    device: str = getattr(getattr(config, stage.name, None), "device", "cpu")
    return device.startswith("cuda")


def sweep(storage: Storage) -> None:
    """Removes what attempts of dead runs left: drafts that nobody will finish, heartbeats that nobody will stop."""
    storage.delete_folder("state/drafts")
    storage.delete_folder("state/attempts")
