"""The Ray side of a run: a local Ray or a cluster, and long-lived actors that keep their models loaded."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any

from pipeline.execution import ray_session
from pipeline.execution.dispatch import Dispatch, Slot
from pipeline.execution.machine import Machine, this_machine
from pipeline.execution.ray_session import check_memory
from pipeline.execution.weights import ship
from pipeline.execution.worker import Worker
from pipeline.run.task import Context, Outcome, Task
from pipeline.storage.open import open_storage
from stages.stage import Needs, UserError

COUNT_EVERY = 5.0  # seconds between two looks at how large the cluster is
GPU_WAIT = 60.0  # seconds


class Host:
    """The Ray actor: a process with one `Worker` in it."""

    def __init__(self, context: Context, folder: str, away: bool, workers: int | None) -> None:
        self._away = away  # on a cluster
        with suppress(OSError):  # relative paths of the config mean here what they mean to the driver
            os.chdir(folder)
        self._worker = Worker(context, workers)

    def hello(self) -> Machine:
        return this_machine()

    def run(self, task: Task) -> Outcome:
        outcome = self._worker.run(task)
        if self._away and outcome.failure == "user":  # weights, or a device, that this machine may lack
            return replace(outcome, error=f"{outcome.error} (on {socket.gethostname()})")
        return outcome


class RayExecutor:
    def __init__(
        self, workers: int | None = None, address: str | None = None, deadline: float = 3600.0, verbose: bool = False
    ) -> None:
        self._workers = workers
        self._address = address
        self._deadline = deadline
        self._verbose = verbose
        self.slots: list[Slot] = []
        self._made_for: tuple[Context, Needs] | None = None
        self._started = False
        self._limit = (0, 0.0)  # actors, and when that was counted
        self._shipped: tuple[Context, Context] | None = None  # the run's, and what a cluster makes of it

    def run(self, context: Context, tasks: Iterable[Task], needs: Needs) -> Iterator[Outcome]:
        if not self._started:
            ray_session.start(self._workers, self._address, self._verbose)
            self._started = True
        if self._shipped is None or self._shipped[0] != context:
            self._shipped = context, ship(context) if self._address else context
        context = self._shipped[1]
        reserved = resources(needs)
        if self._made_for is None or (self._made_for[0], resources(self._made_for[1])) != (context, reserved):
            self._stop_workers()
        self._made_for = context, needs
        self._limit = (0, 0.0)
        if reserved.get("num_gpus"):
            self._wait_for_a_gpu()
        check_memory("a worker of the stage", needs.memory)
        yield from Dispatch(self, open_storage(context.root), list(tasks), self._deadline).outcomes()

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
            self._stop_workers()
            ray_session.stop()
            self._started = False

    def limit(self) -> int:
        """How many actors there may be now: as many as the cluster as it stands has cores, or devices, and memory for.

        `workers` at most.
        """
        assert self._made_for is not None
        limit, counted = self._limit
        if not limit or time.monotonic() - counted > COUNT_EVERY:
            there = room_for(self._made_for[1], _resources())
            limit = max(1, min(there, self._workers or there))
            self._limit = limit, time.monotonic()
        return limit

    def start_worker(self) -> Slot:
        """One more actor."""
        import ray

        assert self._made_for is not None
        context, needs = self._made_for
        options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, **resources(needs)}
        given = (context, os.getcwd(), bool(self._address), self._workers)
        actor: Any = ray.remote(Host).options(**options).remote(*given)
        self.slots.append(Slot(actor, actor.hello.remote()))
        return self.slots[-1]

    def stop_worker(self, slot: Slot) -> None:
        import ray

        ray.kill(slot.actor)
        self.slots.remove(slot)

    def _stop_workers(self) -> None:
        for slot in list(self.slots):
            self.stop_worker(slot)

    def _wait_for_a_gpu(self) -> None:
        """Machines of a cluster may join a little later than its head. Raises UserError."""
        end = time.monotonic() + (GPU_WAIT if self._address else 0)
        while not _resources().get("GPU"):
            if time.monotonic() >= end:
                where = (
                    f"no machine of the cluster has one (waited {GPU_WAIT:g} s)" if self._address else "Ray has none"
                )
                raise UserError(f"the stage wants a GPU, but {where}; set its device to cpu, or use --inline")
            time.sleep(1)


def resources(needs: Needs) -> dict[str, int]:
    """What Ray reserves for one actor.

    That of a job in ranks only starts them, and they take cores or devices. Nor does a merge take a core from its
    blocks.
    """
    leads = needs.ranks > 1
    return {
        "num_cpus": 0 if leads or needs.blocks else 1,
        "num_gpus": 1 if needs.gpu and not leads else 0,
        **({"memory": needs.memory} if needs.memory else {}),
    }


def room_for(needs: Needs, there: dict[str, float]) -> int:
    """How many workers the resources of a cluster are enough for."""
    workers = there.get("GPU" if resources(needs)["num_gpus"] else "CPU", 0)
    return int(min(workers, there.get("memory", 0) // needs.memory) if needs.memory else workers)


def _resources() -> dict[str, float]:
    """Of the whole cluster: CPU, GPU and the rest."""
    import ray

    cluster: Any = ray
    found: dict[str, float] = cluster.cluster_resources()
    return found
