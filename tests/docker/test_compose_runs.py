"""docker/compose.yaml as it would run: its own commands as processes of this machine, and no Docker."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PACKAGES = ("schemas", "model", "stages", "pipeline")
CONFIG: dict[str, Any] = {
    "part_size": 4,
    "ingest": {"source": "scenes", "count": 16},
    "label": {"short": 64, "long": 96, "device": "cpu"},
    "filter": {"min_score": 0.3},
    "shard": {"samples_per_shard": 2},
    "audit": {"pictures": 2},
}
WITNESS = '''

def _versions() -> dict[str, str]:
    """Of this copy alone: where the process that makes a part has its packages from, and on which node it runs."""
    import model
    import pipeline
    import ray
    import schemas
    import stages

    found = {package.__name__: str(package.__file__) for package in (schemas, model, stages, pipeline)}
    return {**found, "node": ray.get_runtime_context().get_node_id()}
'''

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Ray has clusters of several nodes on Linux only"),
    pytest.mark.skipif(not (BIN / "phrasebox").exists(), reason="phrasebox is not installed beside this Python"),
]


@dataclass(frozen=True)
class Cluster:
    folder: Path  # of all that its processes write; their environments name it, by which they are found again
    ports: list[int]  # of the head: Ray's own, the client server's and the dashboard's
    token: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    def environment(self, container: str) -> dict[str, str]:
        """Of a container: its own /tmp and home, nothing of Ray's from the shell, nothing on the path of modules."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}
        place = self.folder / container
        place.mkdir(exist_ok=True)
        tokens = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        return {**mine, **tokens, "HOME": str(place), "RAY_TMPDIR": str(place), "OMP_NUM_THREADS": "1"}


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((ROOT / "docker/compose.yaml").read_text(encoding="utf-8"))["services"]
    return services


def as_here(words: list[str], cluster: Cluster) -> list[str]:
    """A command of the file, with what one machine has instead of a network of containers: free ports for Ray's fixed
    ones, the loopback for the name `head` and for all interfaces, and `ray` of this environment."""
    ray, *arguments = words
    assert ray == "ray"
    for theirs, ours in {"6379": str(cluster.ports[0]), "head:": "127.0.0.1:", "0.0.0.0": "127.0.0.1"}.items():
        arguments = [word.replace(theirs, ours) for word in arguments]
    return [str(BIN / "ray"), *arguments]


def apart(service: str, container: str, cluster: Cluster) -> list[str]:
    """Options for what the file leaves at Ray's defaults, since every container has it to itself: ports and /tmp."""
    every = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    head = [f"--ray-client-server-port={cluster.ports[1]}", f"--dashboard-port={cluster.ports[2]}"]
    return [*every, f"--temp-dir={cluster.folder / container / 'ray'}", *(head if service == "head" else [])]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def start(service: str, container: str, cluster: Cluster) -> Callable[[], str]:
    """Starts a service; what comes back says what it has said. Fails where it has ended."""
    command = as_here(shlex.split(compose()[service]["command"]), cluster) + apart(service, container, cluster)
    log = cluster.folder / f"{container}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command,
            env={**cluster.environment(container), "PYTHONUNBUFFERED": "1"},
            cwd=cluster.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def said() -> str:
        assert process.poll() is None, f"{container} ended with {process.returncode}: {log.read_text()}"
        return log.read_text()

    return said


def is_healthy(cluster: Cluster) -> bool:
    """By the file's own check."""
    form, *words = compose()["head"]["healthcheck"]["test"]
    assert form == "CMD"
    command, environment = as_here(words, cluster), cluster.environment("head")
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


def processes_of(folder: Path) -> list[int]:
    """What still runs of all that was started here, by its environment: Ray puts processes into groups of their own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # another user's, or gone
            if os.fsencode(folder) in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def end_all(folder: Path) -> None:
    def is_empty() -> bool:
        for pid in (left := processes_of(folder)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_for(is_empty)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The head, and once it is healthy the workers, as compose starts them.

    The folder is right below /tmp: the names of Ray's sockets are long, and a socket's may have 107 characters only.
    """
    with tempfile.TemporaryDirectory(prefix="phrasebox-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), free_ports(3), secrets.token_hex(32))
        try:
            head = start("head", "head", cluster)
            wait_for(lambda: head() and is_healthy(cluster))
            replicas = compose()["worker"]["deploy"]["replicas"]
            workers = [start("worker", f"worker{number}", cluster) for number in range(replicas)]
            for worker in workers:
                wait_for(lambda worker=worker: "Ray runtime started" in worker())
            yield cluster
        finally:
            end_all(cluster.folder)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to start runs in, where somebody has a package of their own that is named like one of ours."""
    place = tmp_path / "place"
    (place / "model").mkdir(parents=True)
    (place / "model/__init__.py").write_text("raise ImportError('this is not phrasebox')\n")
    (place / "run.yaml").write_text(yaml.safe_dump(CONFIG))
    return place


def phrasebox(place: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "phrasebox"), "run", "run.yaml", *arguments]
    return subprocess.run(command, cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def data_files(run: Path) -> dict[str, str]:
    """sha256 of every file of a run, by path, but for records, state and the config."""
    paths = sorted(path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    data = [path for path in paths if not path.startswith(("commits/", "state/", "config.yaml"))]
    return {path: hashlib.sha256((run / path).read_bytes()).hexdigest() for path in data}


def test_the_services_make_the_bytes_of_one_process(cluster: Cluster, place: Path) -> None:
    """By `--address auto` on the head, as the first lines of the file have it."""
    environment = cluster.environment("head")
    for run, how in {"inline": ["--inline"], "compose": ["--address", "auto"]}.items():
        done = phrasebox(place, environment, "--until", "audit", "--run", run, *how)
        assert done.returncode == 0, done.stderr
    made = data_files(place / "compose")
    assert {path.partition("/")[0] for path in made} >= {"pairs", "phrases", "labels", "pseudo", "shards", "report"}
    assert made == data_files(place / "inline")


@pytest.mark.parametrize("token", [None, "0" * 64], ids=["no token", "a wrong token"])
def test_a_driver_without_the_token_is_refused(cluster: Cluster, place: Path, token: str | None) -> None:
    environment = cluster.environment("driver")
    del environment["RAY_AUTH_TOKEN"]
    if token is None:
        del environment["RAY_AUTH_MODE"]
    else:
        environment["RAY_AUTH_TOKEN"] = token
    done = phrasebox(place, environment, "--run", "refused", "--address", cluster.address)
    assert done.returncode == 2, done.stderr
    *others, line = done.stderr.splitlines()
    assert line.startswith(f"phrasebox: --address {cluster.address}: somebody listens there, but no Ray cluster that")
    assert "token is missing or incorrect); a cluster with a token wants RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in line
    assert line.endswith(f"Ray {version('ray')}")
    assert len(others) <= 1 and all("gcs_client.cc" in other for other in others)  # Ray's own log
    assert cluster.token not in done.stderr and not (place / "refused/commits").exists()


def test_the_nodes_run_the_code_of_the_driver(cluster: Cluster, place: Path, tmp_path: Path) -> None:
    """The nodes have phrasebox installed, and may have run another driver's before; this one's is a copy that says
    where a worker has its packages from. They are what Ray has unpacked, neither this copy nor what is installed."""
    copy = tmp_path / "copy"
    for name in (*PACKAGES, "phrasebox"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    with open(copy / "pipeline/execution/worker.py", "a", encoding="utf-8") as file:
        file.write(WITNESS)
    environment = {**cluster.environment("head"), "PYTHONPATH": str(copy)}
    smaller = ["--set", "part_size=2", "--until", "phrases"]
    done = phrasebox(place, environment, "--run", "shipped", *smaller, "--address", cluster.address)
    assert done.returncode == 0, done.stderr
    records = [json.loads(path.read_text()) for path in sorted((place / "shipped/commits").glob("*/*.json"))]
    assert {record["stage"] for record in records} == {"ingest", "phrases"} and len(records) == 16
    witnesses = [record["versions"] for record in records]
    for name in PACKAGES:
        found = {Path(witness[name]) for witness in witnesses}
        assert all(path.is_relative_to(cluster.folder) for path in found), found
        unpacked = rf"{re.escape(str(cluster.folder))}/worker\d/.*/py_modules_files/_ray_pkg_\w+/{name}/__init__.py"
        assert all(re.fullmatch(unpacked, str(path)) for path in found), found
    assert len({witness["node"] for witness in witnesses}) == compose()["worker"]["deploy"]["replicas"]
