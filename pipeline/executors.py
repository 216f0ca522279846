"""Where tasks run. Both executors take the same tasks and give the same bytes; only the order of outcomes differs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Protocol

from pipeline.context import Context
from pipeline.worker import Outcome, Task, Worker


class Executor(Protocol):
    def run(self, context: Context, tasks: Iterable[Task], gpu: bool) -> Iterator[Outcome]:
        """The outcome of every task, in the order they finish."""
        ...

    def __enter__(self) -> Executor: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class InlineExecutor:
    """One process, no Ray."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def run(self, context: Context, tasks: Iterable[Task], gpu: bool) -> Iterator[Outcome]:
        if self._worker is None or self._worker.context != context:
            self._worker = Worker(context)
        for task in tasks:
            yield self._worker.run(task)

    def __enter__(self) -> InlineExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker = None
