"""Tasks in this process, one after the other, without Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType

from pipeline.execution.worker import Worker
from pipeline.run.task import Context, Outcome, Task
from stages.stage import Needs


class InlineExecutor:
    """One process, no Ray."""

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def run(self, context: Context, tasks: Iterable[Task], needs: Needs) -> Iterator[Outcome]:
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
