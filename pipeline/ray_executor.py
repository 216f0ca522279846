"""The Ray side of a run: a local Ray or a cluster, and long-lived actors that keep their models loaded."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.dispatch import Dispatch, Slot
from pipeline.storage import open_storage
from pipeline.worker import Context, Outcome, Task, Worker
from stages.stage import UserError

OBJECT_STORE = 128 << 20  # bytes; nothing but names passes through it
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Host:
    """The Ray actor: a process with one `Worker` in it."""

    def __init__(self, context: Context) -> None:
        self._worker = Worker(context)

    def log(self) -> str:
        """The file that holds what this process says on stderr."""
        try:
            return os.readlink("/proc/self/fd/2")
        except OSError:
            return ""

    def run(self, task: Task) -> Outcome:
        return self._worker.run(task)


class RayExecutor:
    def __init__(
        self, workers: int | None = None, address: str | None = None, deadline: float = 3600.0, verbose: bool = False
    ) -> None:
        self._workers = workers
        self._address = address
        self._deadline = deadline
        self._verbose = verbose
        self.slots: list[Slot] = []
        self._made_for: tuple[Context, bool] | None = None
        self._started = False

    def run(self, context: Context, tasks: Iterable[Task], gpu: bool) -> Iterator[Outcome]:
        self._start()
        if self._made_for != (context, gpu):
            self._dismiss_all()
            self._made_for = (context, gpu)
        yield from Dispatch(self, open_storage(context.root), tasks, self._deadline).outcomes()

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ray is asked to stop, unless this process is being stopped: then it dies with it, which is quicker and sure
        (a signal to the whole group may have ended parts of Ray, and the rest would wait for them)."""
        if kind is None or issubclass(kind, Exception):
            self.close()

    def close(self) -> None:
        if self._started:
            import ray

            self._dismiss_all()
            ray.shutdown()
            self._started = False

    def limit(self) -> int:
        """How many actors there may be: one per device, or one per worker."""
        assert self._made_for is not None
        return self._devices() if self._made_for[1] else self._width()

    def hire(self) -> Slot:
        """One more actor."""
        import ray

        assert self._made_for is not None
        context, gpu = self._made_for
        actor = ray.remote(Host).options(num_cpus=1, num_gpus=1 if gpu else 0, max_restarts=0).remote(context)
        log: Any = actor.log
        self.slots.append(Slot(actor, log.remote()))
        return self.slots[-1]

    def dismiss(self, slot: Slot) -> None:
        import ray

        ray.kill(slot.actor)
        self.slots.remove(slot)

    def _dismiss_all(self) -> None:
        for slot in list(self.slots):
            self.dismiss(slot)

    def _width(self) -> int:
        return self._workers or max(1, int(_resources().get("CPU", 1)))

    def _devices(self) -> int:
        devices = int(_resources().get("GPU", 0))
        if devices == 0:
            raise UserError("the stage wants a GPU, but Ray has none; set its device to cpu, or use --inline")
        return min(devices, self._workers or devices)

    def _start(self) -> None:
        if self._started:
            return
        os.environ.update(QUIET)
        # Ray's processes inherit it: workers import the packages of this checkout, and what the driver can import.
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path))
        on_term = signal.getsignal(signal.SIGTERM)  # Ray puts a handler of its own in its place
        import ray

        options: dict[str, Any] = {
            "log_to_driver": self._verbose,
            "logging_level": logging.INFO if self._verbose else logging.ERROR,
        }
        if self._address:
            try:
                ray.init(address=self._address, runtime_env=_shipped_code(), **options)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise UserError(f"--address {self._address}: no Ray cluster answers there ({error})") from None
        else:
            cpus = self._workers or os.cpu_count() or 1
            ray.init(
                address="local",
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE,
                **options,
            )
        signal.signal(signal.SIGTERM, on_term)
        if not self._verbose:
            hush()
        self._started = True


def hush() -> None:
    """Ray prints the deaths of workers to stdout, whatever it was told; the runner reports them itself."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _resources() -> dict[str, float]:
    """Of the whole cluster: CPU, GPU and the rest."""
    import ray

    cluster: Any = ray
    found: dict[str, float] = cluster.cluster_resources()
    return found


def _shipped_code() -> dict[str, Any]:
    """A cluster's nodes run the code of this checkout, whatever is installed there."""
    home = Path(__file__).resolve().parent.parent
    return {"py_modules": [str(home / name) for name in ("schemas", "model", "stages", "pipeline")]}
