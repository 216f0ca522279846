"""What travels between the runner and the workers: the context of a run, its tasks, and their outcomes."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol

from stages.stage import Slice


@dataclass(frozen=True)
class Context:
    """What all tasks of a run share; it travels to a worker once."""

    root: str
    config: str  # the resolved config, as JSON
    run_id: str


@dataclass(frozen=True)
class Task:
    """What travels to a worker for one part: names, never data."""

    stage: str  # import path, `module:Class`
    part: int | None  # None: the merged result of a reduce stage
    fingerprint: str
    inputs: Mapping[str, str | None] = field(default_factory=dict)  # digests, remembered in the record
    slice: Slice | None = None
    digests: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (dataset, columns) that later stages depend on
    stale: tuple[str, ...] = ()  # files of an earlier result that this one replaces
    job: bool = False
    ranks: int = 1  # of a job: so many processes make its result together


@dataclass(frozen=True)
class Outcome:
    """What comes back: the commit record, or why there is none."""

    task: Task
    record: str | None = None
    failure: Literal["", "part", "user", "store"] = ""  # part: only this one; the others stop the run
    error: str = ""
    trace: str = ""


class Executor(Protocol):
    """Where tasks run. Every executor gives the same bytes for the same tasks; only the order of outcomes differs."""

    def run(self, context: Context, tasks: Iterable[Task], gpu: bool) -> Iterator[Outcome]:
        """The outcome of every task, in the order they finish."""
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def is_result(task: Task) -> bool:
    """Whether the task makes one result out of all parts."""
    return task.job or task.part is None


def load_class(reference: str) -> type[Any]:
    module, _, name = reference.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), name)
    return found


def reference_of(stage: type[Any]) -> str:
    return f"{stage.__module__}:{stage.__qualname__}"
