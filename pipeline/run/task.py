"""What travels between the runner and the workers: the context of a run, its tasks, and their outcomes."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol

from pipeline.run.sections import config_class
from pipeline.run.target import Target
from schemas.config import Config
from stages.stage import Needs, Slice, Stage


@dataclass(frozen=True)
class Context:
    """What all tasks of a run share; it travels to a worker once."""

    root: str
    config: str  # the resolved config, as JSON
    run_id: str
    sections: tuple[str, ...] = ()  # import paths of the stages that have brought a section of the config

    def read_config(self) -> Config:
        return config_class(map(load_class, self.sections)).model_validate_json(self.config)


@dataclass(frozen=True)
class Task:
    """What travels to a worker for one target: names, never data."""

    stage: str  # import path, `module:Class`
    target: Target
    fingerprint: str
    inputs: Mapping[str, str | None] = field(default_factory=dict)  # digests, remembered in the record; None: absent
    slice: Slice | None = None
    digests: tuple[tuple[str, tuple[str, ...]], ...] = ()  # (dataset, columns) that later stages depend on
    stale: tuple[str, ...] = ()  # files of an earlier result that this one replaces
    turned_off: tuple[str, ...] = ()  # folders of stages that are turned off: whatever lies there is not read


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

    def run(self, context: Context, tasks: Iterable[Task], needs: Needs) -> Iterator[Outcome]:
        """The outcome of every task of one stage, in the order they finish. `needs`: of each worker."""
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def load_class(reference: str) -> type[Stage]:
    module, _, name = reference.partition(":")
    name, _, member = name.partition("@")
    found: type[Stage] = getattr(importlib.import_module(module), name)
    return found.sibling(member) if member else found


def reference_of(stage: type[Stage]) -> str:
    """Import path, `module:Class`; of a stage that a config has made of another one, `module:Class@member`."""
    return f"{stage.__module__}:{stage.__qualname__}"
