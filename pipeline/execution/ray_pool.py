"""The Ray side of a run: a local Ray or a cluster, and long-lived actors that keep their models loaded."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import chdir, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.execution.dispatch import Dispatch, Slot
from pipeline.execution.machine import Machine, this_machine
from pipeline.execution.weights import ship
from pipeline.execution.worker import Worker
from pipeline.run.task import Context, Outcome, Task
from pipeline.storage.open import open_storage
from stages.stage import Needs, UserError

OBJECT_STORE = 128 << 20  # bytes; nothing but names passes through it
COUNT_EVERY = 5.0  # seconds between two looks at how large the cluster is
GPU_WAIT = 60.0  # seconds
REACH = 5.0  # seconds
STARTS = 3  # of a local Ray: on a busy machine the first one may take longer than Ray waits for itself
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class Host:
    """The Ray actor: a process with one `Worker` in it."""

    def __init__(self, context: Context, folder: str, away: bool) -> None:
        self._away = away  # on a cluster
        with suppress(OSError):  # relative paths of the config mean here what they mean to the driver
            os.chdir(folder)
        self._worker = Worker(context)

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
        self._start()
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
        self._check_memory(needs.memory)
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
            import ray

            self._stop_workers()
            ray.shutdown()
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
        actor: Any = ray.remote(Host).options(**options).remote(context, os.getcwd(), bool(self._address))
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

    def _check_memory(self, wanted: int) -> None:
        """A worker that fits on no machine would be waited for without end. Raises UserError."""
        most = max(_memory_of_machines(), default=0)
        if wanted > most:
            asked, there = (f"{size / (1 << 30):.1f} GiB" for size in (wanted, most))
            raise UserError(
                f"a worker of the stage wants {asked} of memory, and no machine of this Ray has more than {there}; "
                "lower it in the stage's section of the config"
            )

    def _start(self) -> None:
        if self._started:
            return
        os.environ.update(QUIET)
        # Ray's processes inherit it: workers import the packages of this checkout, and what the driver can import.
        os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path))
        on_term = signal.getsignal(signal.SIGTERM)  # Ray puts a handler of its own in its place
        options: dict[str, Any] = {
            "log_to_driver": self._verbose,
            "logging_level": logging.INFO if self._verbose else logging.ERROR,
        }
        # Ray has workers import from the folder that the driver is in before all else; this one holds no packages.
        with chdir(Path(sys.executable).parent):
            if self._address:
                self._join(options)
            else:
                self._start_locally(options)
        signal.signal(signal.SIGTERM, on_term)
        if not self._verbose:
            silence()
        self._started = True

    def _join(self, options: dict[str, Any]) -> None:
        import ray

        assert self._address is not None
        where = reach(self._address)
        try:
            if where:
                handshake(where)
            ray.init(address=self._address, runtime_env=_shipped_code(), **options)
        except Exception as error:  # noqa: BLE001 - Ray has many kinds for a cluster that does not take a driver
            raise UserError(f"--address {self._address}: {refusal(error)}") from None

    def _start_locally(self, options: dict[str, Any]) -> None:
        import ray

        cpus = self._workers or os.cpu_count() or 1
        options = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": OBJECT_STORE, **options}
        for attempt in range(STARTS):
            try:
                ray.init(address="local", **options)
                return
            except Exception as error:  # noqa: BLE001 - what Ray raises where its processes are not up in 30 seconds
                ray.shutdown()
                if attempt == STARTS - 1:
                    said = " ".join(str(error).split())[:300]
                    raise UserError(f"Ray does not start on this machine ({said}); --inline does without it") from None


def silence() -> None:
    """Ray prints the deaths of workers to stdout, whatever it was told; the runner reports them itself."""
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def reach(address: str) -> str:
    """`host:port` of the cluster, empty where it is for Ray to find, or a proxy's.

    Raises UserError where nobody listens: Ray itself would try for minutes.
    """
    if address == "auto":
        known = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
        address = os.environ.get("RAY_ADDRESS") or (known.read_text().strip() if known.is_file() else "")
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        return ""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except OSError as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there ({error.strerror or error}); "
            "start one with `ray start --head`, or leave --address out"
        ) from None
    return "" if scheme else place


def handshake(place: str) -> None:
    """Raises what Ray has to say where a cluster wants another token, or what listens is none.

    `ray.init` would try twenty times, and keep the reason to itself.
    """
    from ray import _raylet

    raylet: Any = _raylet
    raylet.GcsClient(address=place)


def refusal(error: Exception) -> str:
    """Why a cluster that listens did not take this driver, as far as it can be told."""
    import ray

    said = " ".join(str(error).split()).partition(". ")[0][:300]
    return (
        f"somebody listens there, but no Ray cluster that takes this driver ({said}); a cluster with a token wants "
        f"RAY_AUTH_MODE=token and RAY_AUTH_TOKEN in the environment, and every machine Ray {ray.__version__}"
    )


def resources(needs: Needs) -> dict[str, int]:
    """What Ray reserves for one actor; that of a job in ranks only starts them, and they take cores or devices."""
    leads = needs.ranks > 1
    return {
        "num_cpus": 0 if leads else 1,
        "num_gpus": 1 if needs.gpu and not leads else 0,
        **({"memory": needs.memory} if needs.memory else {}),
    }


def room_for(needs: Needs, there: dict[str, float]) -> int:
    """How many workers the resources of a cluster are enough for."""
    workers = there.get("GPU" if resources(needs)["num_gpus"] else "CPU", 0)
    return int(min(workers, there.get("memory", 0) // needs.memory) if needs.memory else workers)


def _memory_of_machines() -> list[float]:
    """Bytes that each machine of the cluster gives to workers."""
    import ray

    cluster: Any = ray
    return [node["Resources"].get("memory", 0) for node in cluster.nodes() if node["Alive"]]


def _resources() -> dict[str, float]:
    """Of the whole cluster: CPU, GPU and the rest."""
    import ray

    cluster: Any = ray
    found: dict[str, float] = cluster.cluster_resources()
    return found


def _shipped_code() -> dict[str, Any]:
    """A cluster's nodes run the code of this checkout, whatever is installed there."""
    home = Path(__file__).resolve().parents[2]
    modules = [str(home / name) for name in ("schemas", "model", "stages", "pipeline")]
    return {"py_modules": modules, "excludes": ["__pycache__"]}
