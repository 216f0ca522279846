"""Connecting to Ray: a local one for this run, or a cluster by its address; workers run the code of this process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from stages.stage import UserError

OBJECT_STORE = 128 << 20  # bytes; nothing but names passes through it
CONNECT_SECONDS = 5.0
STARTS = 3  # of a local Ray: on a busy machine the first one may take longer than Ray waits for itself
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
ONE_TRY = {"RAY_NUM_REDIS_GET_RETRIES": "1"}  # at reaching a cluster: twenty would end with the same error


def start(workers: int | None, address: str | None, verbose: bool) -> None:
    """Joins the cluster at `address`, or starts a Ray on this machine. Raises UserError, with one line."""
    os.environ.update(QUIET)
    on_term = signal.getsignal(signal.SIGTERM)  # Ray puts a handler of its own in its place
    options: dict[str, Any] = {
        "log_to_driver": verbose,
        "logging_level": logging.INFO if verbose else logging.ERROR,
    }
    with workers_import_as_we_do():
        if address:
            join(address, options)
        else:
            start_locally(workers, options)
    signal.signal(signal.SIGTERM, on_term)
    if not verbose:
        sys.stdout = cast(TextIO, StdoutWithoutRay(sys.stdout))


def stop() -> None:
    import ray

    ray.shutdown()
    if isinstance(sys.stdout, StdoutWithoutRay):
        sys.stdout = sys.stdout.stream


@contextmanager
def workers_import_as_we_do() -> Iterator[None]:
    """What Ray starts within imports from where this process does.

    Its processes inherit PYTHONPATH, but look first into the folder that ray.init was called in. Where a user starts a
    run, that may be another checkout of phrasebox, or a project with a `model` of its own; here it holds no packages.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path or os.getcwd() for path in sys.path))
    with chdir(Path(sys.executable).parent):
        yield


def shipped_code() -> dict[str, Any]:
    """The runtime environment of a cluster's workers: this process's code, whatever is installed on their machines."""
    home = Path(__file__).resolve().parents[2]
    layers = [home / name for name in ("schemas", "model", "stages", "pipeline")]
    packages = [home] if (home / "__init__.py").exists() else layers  # a wheel has them all in one
    return {"py_modules": [str(package) for package in packages], "excludes": ["__pycache__"]}


def join(address: str, options: dict[str, Any]) -> None:
    check_address(address)
    os.environ.update(ONE_TRY)
    import ray

    try:
        ray.init(address=address, runtime_env=shipped_code(), **options)
    except Exception as error:  # noqa: BLE001 - Ray has many kinds for a cluster that does not take a driver
        raise UserError(f"--address {address}: {refusal(error)}") from None


def start_locally(workers: int | None, options: dict[str, Any]) -> None:
    import ray

    cpus = workers or os.cpu_count() or 1
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


def check_memory(who: str, wanted: int) -> None:
    """What fits on no machine would be waited for without end. Raises UserError."""
    import ray

    cluster: Any = ray
    most = max((node["Resources"].get("memory", 0) for node in cluster.nodes() if node["Alive"]), default=0)
    if wanted > most:
        asked, there = (f"{size / (1 << 30):.1f} GiB" for size in (wanted, most))
        raise UserError(
            f"{who} wants {asked} of memory, and no machine of this Ray has more than {there}; "
            "lower it in the stage's section of the config"
        )


def check_address(address: str) -> None:
    """Raises UserError where nobody listens: Ray itself would try for minutes. What it cannot tell, Ray will."""
    if address == "auto":
        known = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")
        address = os.environ.get("RAY_ADDRESS") or (known.read_text().strip() if known.is_file() else "")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there ({error.strerror or error}); "
            "start one with `ray start --head`, or leave --address out"
        ) from None


def refusal(error: BaseException) -> str:
    """Why a cluster that listens did not take this driver, as far as it can be told."""
    import ray

    text = str(error.__cause__ or error).rpartition("ray.exceptions.")[2]  # below a traceback, where the text holds one
    said = " ".join(text.split()).partition(". ")[0][:300]
    return (
        f"somebody listens there, but no Ray cluster that takes this driver ({said}); a cluster with a token wants "
        f"RAY_AUTH_MODE=token and RAY_AUTH_TOKEN in the environment, and every machine Ray {ray.__version__}"
    )


class StdoutWithoutRay:
    """Standard output but for what Ray's threads print there, whatever they were told: the deaths of workers, which the
    runner reports itself."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return len(text) if threading.current_thread().name.startswith("ray_") else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
