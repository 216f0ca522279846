"""The demo labelled by a detector of transformers, as a person runs it: a tiny checkpoint with random weights, no
network; with one worker and with two, killed and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.checkpoints import write_checkpoint
from tests.digests import digests
from tests.waiting import LIMIT, wait_for

ROOT = Path(__file__).resolve().parents[1]
PAIRS, PART = 24, 6
DATA = ("pairs", "phrases", "labels", "pseudo", "shards", "rejects")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint("mm-grounding-dino", tmp_path_factory.mktemp("checkpoint") / "llmdet")


def command(run: Path, checkpoint: Path, *more: str) -> list[str]:
    settings = {"ingest.count": PAIRS, "part_size": PART, "label.weights": checkpoint, "label.device": "cpu"}
    chosen = [f"--set={key}={value}" for key, value in settings.items()]
    start = [sys.executable, "-m", "pipeline.cli", "run", "configs/demo_llmdet.yaml", "--until", "shard"]
    return [*start, "--run", str(run), *chosen, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def finished(arguments: list[str]) -> None:
    done = subprocess.run(arguments, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr


def fingers(run: Path) -> dict[str, str]:
    """sha256 of every data file."""
    return digests(run, DATA)


@pytest.mark.slow
def test_one_and_two_workers_and_a_kill_change_no_byte(checkpoint: Path, tmp_path: Path) -> None:
    inline, one, two = (tmp_path / name for name in ("inline", "one", "two"))
    finished(command(inline, checkpoint, "--inline"))
    wanted = fingers(inline)
    rows = [row for path in sorted((inline / "labels").iterdir()) for row in pq.read_table(path).to_pylist()]
    assert len(rows) == PAIRS and sum(len(row["boxes"]) for row in rows) > PAIRS
    assert {name.split("/")[0] for name in wanted} == set(DATA)
    finished(command(one, checkpoint, "--workers", "1"))
    assert fingers(one) == wanted
    arguments = command(two, checkpoint, "--workers", "2")
    quiet = subprocess.DEVNULL
    driver = subprocess.Popen(
        arguments, cwd=ROOT, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True
    )
    wait_for(lambda: list((two / "commits/label").glob("part-*.json")), driver)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    finished(arguments)
    assert fingers(two) == wanted
    finished([sys.executable, "-m", "pipeline.cli", "verify", str(two)])
