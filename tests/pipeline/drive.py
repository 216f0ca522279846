"""Runs the toy stages in a process of its own, to be killed: `drive.py RUN SOURCE [inline|ray] [CRASH] [main|side]`.

With CRASH = n the process ends itself with SIGKILL just before its n-th change to the run folder: a rename of a
finished file, a record or a lock that is written, a file that is deleted.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from side_toys import ON, SIDE_PROJECT
from toy_runs import make_config, run_toys
from toys import PROJECT

from pipeline.execution.inline import InlineExecutor
from pipeline.run.task import Executor
from pipeline.storage.local import LocalStorage

CHANGES = ("_rename", "write", "delete", "delete_folder")  # of LocalStorage: all that happens to a run folder


def on_change(act: Callable[[str, str], None]) -> None:
    """From now on `act` is called before each change of a run folder, with its kind and its path."""

    def watched(kind: str, function: Any) -> Any:
        def call(self: LocalStorage, what: Any, *arguments: Any, **options: Any) -> Any:
            act(kind.strip("_"), what if isinstance(what, str) else what.path)
            return function(self, what, *arguments, **options)

        return call

    for kind in CHANGES:
        setattr(LocalStorage, kind, watched(kind, getattr(LocalStorage, kind)))


def crash_before(change: int) -> None:
    """Ends this process before its n-th change to a run folder."""
    left = change

    def count(kind: str, path: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    on_change(count)


def crash_at(moment: tuple[str, str]) -> None:
    """Ends this process just before this one change: (kind, path)."""

    def look(kind: str, path: str) -> None:
        if (kind, path) == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    on_change(look)


def main() -> None:
    defaults = ("", "", "inline", "0", "main")
    run, source, kind, crash, project = (*sys.argv[1:], *defaults[len(sys.argv) - 1 :])
    executor: Executor = InlineExecutor()
    if kind == "ray":
        from pipeline.execution.ray_pool import RayExecutor

        executor = RayExecutor(workers=2)
    if int(crash):
        crash_before(int(crash))
    stages, sections = (SIDE_PROJECT, ON) if project == "side" else (PROJECT, {})
    with executor:
        report = run_toys(make_config(run, source, stages, train__steps=20, **sections), executor, stages)
    sys.exit(1 if report.failed or report.waiting else 0)


if __name__ == "__main__":
    main()
