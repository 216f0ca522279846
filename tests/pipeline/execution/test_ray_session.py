"""Connecting to Ray: refusals in one line, a quiet console, and workers that run the code of the driver.

Those of a real cluster: tests/docker/test_compose_runs.py.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TextIO, cast

import pytest
import yaml
from toy_runs import make_config, run_toys

from pipeline.execution import ray_session
from pipeline.execution.ray_pool import RayExecutor
from pipeline.execution.ray_session import StdoutWithoutRay, refusal, shipped_code, workers_import_as_we_do
from stages.stage import UserError
from tests.waiting import LIMIT

ROOT = Path(__file__).resolve().parents[3]
START = "import sys; sys.path[0] = sys.argv.pop(1); from pipeline.cli.app import main; main(sys.argv[1:])"
REFUSED = """Failed to connect to GCS. Last connection error: Traceback (most recent call last):
  File "/x/ray/_private/node.py", line 996, in _init_gcs_client
    client = GcsClient(
ray.exceptions.AuthenticationError: RPC error: Authentication token is missing or incorrect. Note: RAY_AUTH_MODE is
"""


@pytest.mark.slow
def test_a_package_of_the_folder_that_a_run_starts_in_is_left_alone(tmp_path: Path) -> None:
    """Names like `model` are common, and Ray lets workers look into that folder first unless told otherwise."""
    for name in ("schemas", "model", "stages", "pipeline"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('this is not phrasebox')\n")
    source = {"source": "scenes", "count": 2}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"run": "run", "ingest": source}))
    command = [sys.executable, "-c", START, str(ROOT), "run", "run.yaml", "--until", "ingest", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run/commits/ingest").iterdir())) == 1


def test_a_checkout_ships_its_layers_and_a_wheel_its_one_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = [str(ROOT / name) for name in ("schemas", "model", "stages", "pipeline")]
    assert shipped_code()["py_modules"] == layers and all(Path(layer, "__init__.py").exists() for layer in layers)
    module = tmp_path / "phrasebox/pipeline/execution/ray_session.py"
    module.parent.mkdir(parents=True)
    (tmp_path / "phrasebox/__init__.py").touch()
    monkeypatch.setattr(ray_session, "__file__", str(module))
    assert shipped_code()["py_modules"] == [str(tmp_path / "phrasebox")]


def test_workers_import_from_where_the_driver_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setattr(sys, "path", ["", "/first", "/second", "/first"])
    with workers_import_as_we_do():
        assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(tmp_path), "/first", "/second"]
        assert Path.cwd() == Path(sys.executable).parent
    assert Path.cwd() == tmp_path


def test_what_rays_threads_print_is_not_shown() -> None:
    stream = io.StringIO()
    quiet = StdoutWithoutRay(cast(TextIO, stream))
    print("a result", file=cast(TextIO, quiet))
    for name in ("ray_listen_error_messages", "another"):
        thread = threading.Thread(target=print, args=(f"from {name}",), kwargs={"file": quiet}, name=name)
        thread.start()
        thread.join()
    assert stream.getvalue() == "a result\nfrom another\n"
    assert quiet.isatty() is False and quiet.encoding == stream.encoding


@pytest.mark.slow
def test_a_worker_that_dies_leaves_the_console_alone(tmp_path: Path) -> None:
    """In a process of its own, whose stdout is what a person sees; Ray's word of the death has time to come."""
    script = """
import os, sys, threading
from pipeline.execution import ray_session
ray_session.start(1, None, False)
import ray
@ray.remote
class Mortal:
    def die(self):
        os._exit(1)
heard = threading.Event()
write = ray_session.StdoutWithoutRay.write
def listen(self, text):
    if threading.current_thread() is not threading.main_thread():
        heard.set()
    return write(self, text)
ray_session.StdoutWithoutRay.write = listen
mortal = Mortal.remote()
try:
    ray.get(mortal.die.remote())
except ray.exceptions.RayError:
    print("it died")
assert heard.wait(900), "Ray says nothing of deaths any more: StdoutWithoutRay is not needed"
ray_session.stop()
print("the end", type(sys.stdout).__name__)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "it died\nthe end TextIOWrapper\n"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto"])
def test_an_address_where_nobody_answers_is_one_line(
    tmp_path: Path, source: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` finds the file that a cluster left which is no more."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("127.0.0.1:1\n")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with (
        pytest.raises(UserError, match=r"^--address 127\.0\.0\.1:1: no Ray cluster answers there .*; start one with"),
        RayExecutor(address=address) as executor,
    ):
        run_toys(make_config(tmp_path / "run", source), executor)
    assert not (tmp_path / "run/commits").exists()


def test_a_cluster_that_does_not_take_the_driver() -> None:
    """What Ray raises where a token is missing or wrong says nothing of a token."""
    text = refusal(ConnectionError("Failed to connect to Ray cluster at\n10.0.0.1:6379"))
    assert "(Failed to connect to Ray cluster at 10.0.0.1:6379)" in text and "\n" not in text
    assert "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in text and f"Ray {version('ray')}" in text
    refused = ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379")
    refused.__cause__ = RuntimeError(REFUSED)
    assert "RPC error: Authentication token is missing or incorrect); a cluster with a token wants" in refusal(refused)
