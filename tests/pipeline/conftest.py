"""Runs of the toy stages, on a disk and in an S3 server."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `toys`, for these tests and for the workers that Ray starts

from moody_store import Moody
from toy_runs import KeptRay, write_source, write_sources

from pipeline.storage import retry as store_errors
from pipeline.storage.object_store import filesystem


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three files of 7, 5 and 1 captions; 9 words long at most, some bad, some of one word."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number, rows in enumerate((7, 5, 1)):
        write_source(folder, number, rows)
    return folder


@pytest.fixture
def wide_source(tmp_path: Path) -> Path:
    return write_sources(tmp_path, 4)


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of fsyncs are not what a test is about."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="phrasebox-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where `toys.mishap` keeps count."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def ray_of() -> Iterator[KeptRay]:
    """A RayExecutor by its options; the Ray of the last one is kept while the options stay the same."""
    kept = KeptRay()
    yield kept
    kept.close()


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, Moody]]:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed (extra s3)")
    pytest.importorskip("moto.server", reason="moto is not installed: no S3 server to test against")
    from werkzeug.serving import make_server

    s3fs.S3FileSystem.clear_instance_cache()  # of clients of a server that another test has stopped
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Moody()
    serving = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.port}", app
    serving.shutdown()


@pytest.fixture
def moody(server: tuple[str, Moody]) -> Iterator[Moody]:
    yield server[1]
    server[1].mood, server[1].ranges, server[1].cuts, server[1].delay = [], [], 0, 0.0


@pytest.fixture
def bucket(server: tuple[str, Moody], moody: Moody, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server[0])
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(store_errors, "RETRY_SECONDS", (0.05, 0.05, 0.05))
    monkeypatch.setattr(store_errors, "WRITE_SECONDS", 30.0)
    name = f"bucket-{time.time_ns()}"
    fs, _ = filesystem(f"s3://{name}")
    fs.retries = 1  # ours are the ones under test
    fs.mkdir(name)
    yield f"s3://{name}"
