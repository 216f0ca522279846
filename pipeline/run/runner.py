"""The runner: plan the parts, find out which are due, hand them to an executor, stage after stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.run.config import write_config
from pipeline.run.failures import Failure, failures, forget, remember
from pipeline.run.interrupted import kept_line
from pipeline.run.leftovers import check_usable, unused_line
from pipeline.run.lock import RunLock, holds
from pipeline.run.plan import Plan, extend, read_plan, write_plan
from pipeline.run.progress import Display
from pipeline.run.record_index import write_index
from pipeline.run.state import RunState
from pipeline.run.target import Target, part_target, target_of_path
from pipeline.run.task import Context, Executor, Outcome, Task, reference_of
from pipeline.storage.base import Storage
from pipeline.storage.files import SourceFiles
from pipeline.storage.retry import StoreError
from schemas.commit import CommitRecord
from schemas.config import Config
from stages.stage import JobStage, PlannerStage, ReduceStage, Stage, UserError

INDEX_EVERY = 5000  # commits


@dataclass(frozen=True)
class Selection:
    """What a command asks for."""

    stages: Sequence[type[Stage]]  # in their order
    parts: Collection[int] | None = None  # None: all
    force: bool = False  # recompute what is committed
    again: Mapping[str, Collection[int]] = field(default_factory=dict)  # the same for some parts, by stage
    replan: bool = True  # look into the source for new parts

    @property
    def alone(self) -> bool:
        """Whether nothing that is to be made needs a pair: training on gold alone starts in an empty folder."""
        return all(
            issubclass(stage, JobStage) and all(needed.optional for needed in stage.inputs) for stage in self.stages
        )

    @property
    def planner(self) -> type[PlannerStage] | None:
        """The stage that looks into the source, where it is among those asked for."""
        return next((stage for stage in self.stages if issubclass(stage, PlannerStage)), None)

    def forced(self, stage: str) -> Collection[int] | None:
        """The parts to recompute whatever their record says; None: all."""
        return None if self.force else self.again.get(stage, ())


@dataclass
class Report:
    """What a run did."""

    state: RunState  # as the run left it
    made: dict[str, int] = field(default_factory=dict)  # stage: parts (or results) made
    failed: list[Failure] = field(default_factory=list)
    waiting: dict[str, int] = field(default_factory=dict)  # stage: parts (or results) whose inputs are not all there


class Runner:
    """One run of some stages over a run folder. `project`: all stages there are, in their order."""

    def __init__(
        self, storage: Storage, config: Config, project: Sequence[type[Stage]], executor: Executor, display: Display
    ) -> None:
        self.storage = storage
        self.config = config
        self.project = project
        self.executor = executor
        self.display = display
        self.planner: PlannerStage | None = None  # that has planned the parts in this run

    def run(self, selection: Selection) -> Report:
        """Raises UserError for what the user can mend, StoreError when the store fails for good."""
        settings = settings_of(selection.stages, self.config)
        with RunLock(self.storage) as lock:
            try:
                return self._run(selection, settings, lock.run_id)
            except BaseException:
                if holds(self.storage, lock.run_id):  # else what lies there is another run's
                    clean_state(self.storage)  # workers that still run find their staged files gone, and the lock
                raise

    def _run(self, selection: Selection, settings: dict[str, dict[str, Any]], run_id: str) -> Report:
        clean_state(self.storage)
        known = read_plan(self.storage)
        plan = self.plan(selection, known)
        write_config(self.storage, self.config)
        state = RunState(self.storage, self.project, self.config, plan, settings)
        self._store_plan(known, plan, state)
        report = Report(state)
        sections = tuple(reference_of(stage) for stage in self.project if stage.section is not None)
        context = Context(self.storage.root, self.config.model_dump_json(), run_id, sections)
        for stage in selection.stages:
            _StageRun(self, state, context, selection, report).run(stage)
        return report

    def plan(self, selection: Selection, known: Plan) -> Plan:
        """The stored plan, brought up to date with the source when ingest is among the stages.

        What was found out about the source goes into the config.
        """
        planner = selection.planner if selection.replan else None
        if planner is None:
            if not known and not selection.alone:
                raise UserError(f"{self.storage.root} has no plan.json; run `phrasebox ingest` first")
            return known
        self.planner = planner(self.config)
        found = self.planner.plan(SourceFiles(self.storage), self.config.part_size)
        plan = extend(known, found)
        if not plan:
            raise UserError(f"ingest.source: nothing to read in {self.config.ingest.source}")
        if understood := self.planner.understood(found):
            section = getattr(self.config, planner.name).model_copy(update=understood)
            self.config = self.config.model_copy(update={planner.name: section})
        return plan

    def _store_plan(self, known: Plan, plan: Plan, state: RunState) -> None:
        """Parts that are no longer in the plan go first, so that a killed run never forgets to remove them."""
        if plan == known:
            return
        for path in list(state.left_over()):
            self.storage.delete(path)
        write_plan(self.storage, plan)
        if gone := len(known.keys() - plan.keys()):
            self.display.line(f"{gone} parts are no longer in the source; removed from every stage")


class _StageRun:
    """One stage of one run."""

    def __init__(self, runner: Runner, state: RunState, context: Context, selection: Selection, report: Report) -> None:
        self.storage = runner.storage
        self.executor = runner.executor
        self.planner = runner.planner
        self.state = state
        self.context = context
        self.selection = selection
        self.report = report
        self.display = runner.display

    def run(self, stage: type[Stage]) -> None:
        if not issubclass(stage, JobStage):
            self._run_parts(stage)
            self._check_leftovers(stage)
        if issubclass(stage, JobStage | ReduceStage):
            self._run_result(stage)
        if issubclass(stage, JobStage):
            self._check_leftovers(stage)

    def _check_leftovers(self, stage: type[Stage]) -> None:
        """Prints what the stage did not use; raises NothingUsableError where the source gave nothing."""
        planner = self.planner if isinstance(self.planner, stage) else None
        unused = unused_line(self.state, stage, planner.unused if planner is not None else {})
        if unused:
            self.display.line(f"{stage.name:9} not used: {unused}")
        if planner is not None:
            check_usable(self.state, stage)

    def _run_parts(self, stage: type[Stage]) -> None:
        wanted = self.selection.parts
        parts = [part for part in self.state.plan if wanted is None or part in wanted]
        due, blocked = due_tasks(self.state, stage, parts, self.selection.forced(stage.name))
        if blocked and len(blocked) == len(parts) and not self.report.failed and not self.report.waiting:
            raise UserError(missing_input(self.state, stage, blocked[0]))
        if blocked:
            self.report.waiting[stage.name] = len(blocked)
        self._execute(stage, due, total=len(parts), done=len(parts) - len(due) - len(blocked))

    def _run_result(self, stage: type[Stage]) -> None:
        """A merged result, or a job's: made once everything before it is there, and never from less."""
        task = self.state.result_task(stage)
        if task is None or self.report.failed:
            self.report.waiting.setdefault(stage.name, 1)
        elif self.selection.force or self.state.is_due(stage, task, self.state.listed(stage)):
            if issubclass(stage, JobStage) and (kept := kept_line(self.storage, stage, task.fingerprint)):
                self.display.line(f"{stage.name:9} {kept}")
            self._execute(stage, [task], total=1, done=0, result=True)

    def _execute(self, stage: type[Stage], tasks: Sequence[Task], total: int, done: int, result: bool = False) -> None:
        if not tasks:
            return
        known = failures(self.storage, stage)
        config = self.state.config
        needs = stage.merge_needs(config) if result and issubclass(stage, ReduceStage) else stage.needs(config)
        self.display.begin(stage.name, total, done, result)
        try:
            for outcome in self.executor.run(self.context, tasks, needs):
                self._settle(stage, outcome)
                if outcome.record is not None and outcome.task.target in known:
                    forget(self.storage, stage.name, outcome.task.target)
                if self.report.made.get(stage.name, 0) % INDEX_EVERY == INDEX_EVERY - 1:
                    write_index(self.storage, stage.name)
            write_index(self.storage, stage.name)
        finally:
            self.display.end()

    def _settle(self, stage: type[Stage], outcome: Outcome) -> None:
        target = outcome.task.target
        if outcome.record is not None:
            record = CommitRecord.from_json(outcome.record)
            self.state.add(stage, target, record)
            self.report.made[stage.name] = self.report.made.get(stage.name, 0) + 1
            self.display.committed(record)
            return
        if outcome.failure == "user":
            raise UserError(outcome.error)
        failure = Failure(stage.name, target, outcome.error)
        if outcome.failure == "store":
            raise StoreError(f"{failure.where}: {outcome.error}")
        if target.kind != "part":
            self.state.drop(stage, target)
        remember(self.storage, failure)
        self.report.failed.append(failure)
        self.display.failed(failure, outcome.trace)


def settings_of(stages: Sequence[type[Stage]], config: Config) -> dict[str, dict[str, Any]]:
    """Before any work is done: a wrong weights file is found here. Raises UserError."""
    return {stage.name: stage.settings(config) for stage in stages}


def due_tasks(
    state: RunState, stage: type[Stage], parts: Sequence[int], forced: Collection[int] | None = ()
) -> tuple[list[Task], list[int]]:
    """The tasks that a stage's parts make necessary, and the parts that wait for an input. `forced` None: all."""
    listed = state.listed(stage)
    files: dict[Target, list[str]] = defaultdict(list)
    for path in [*state.storage.list(f"commits/{stage.name}"), *state.part_files(listed, of_results=False)]:
        files[target_of_path(stage, path)].append(path)
    due, blocked = [], []
    for part in parts:
        task = state.part_task(stage, part, files[part_target(part)])
        if task is None:
            blocked.append(part)
        elif forced is None or part in forced or state.is_due(stage, task, listed):
            due.append(task)
    return due, blocked


def missing_input(state: RunState, stage: type[Stage], part: int) -> str:
    inputs = state.inputs(stage)
    lacking = next(item.dataset for item in inputs if not state.digests.look_up(item, part).serves_part(item))
    producer = state.producer(lacking)
    name = producer.name if producer is not None else "an earlier stage"
    return f"{stage.name} needs {lacking}/, which is not there for part {part}; run `phrasebox {name}` first"


def clean_state(storage: Storage) -> None:
    """Removes what attempts of dead runs left: staged files and heartbeats without an owner, output of ranks."""
    storage.delete_folder("state/drafts")
    storage.delete_folder("state/attempts")
    storage.delete_folder("state/ranks")
