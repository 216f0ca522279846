"""Status from plan, records and state alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_runs import make_config, run_toys, write_source
from toys import PROJECT

from pipeline.run.lock import RunLock
from pipeline.run.status import as_json, as_lines, run_status
from pipeline.storage.open import open_storage

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_done_failed_and_under_way(tmp_path: Path, source: Path, marks: Path) -> None:
    write_source(source, 1, 5, first="@raise always")
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    storage = open_storage(config.run)
    status = run_status(storage, PROJECT, config)
    ingest, phrases, shard, train = status.stages
    assert (ingest.parts, ingest.done, ingest.pairs_in, ingest.pairs_out, ingest.rejected) == (5, 5, 13, 11, 2)
    assert (phrases.done, phrases.failed) == (4, ["part 2: ValueError: the stage has a mistake"])
    assert shard.set_aside == {"no_boxes": 3} and shard.result is False
    assert (train.parts, train.done, status.running) == (1, 0, "")
    with RunLock(storage):
        beat = {"stage": "phrases", "target": "part-0000002", "done": 1, "total": 0, "message": ""}
        storage.write("state/attempts/x.json", json.dumps(beat).encode())
        storage.write("state/attempts/y.json", b"")  # caught while it was being written
        status = run_status(storage, PROJECT, config)
        assert status.running.startswith(f"pid {os.getpid()} on ") and status.stages[1].under_way == 1
    text = "\n".join(as_lines(status))
    assert "phrases   4/5 parts, 7 pairs in, 7 out, 0 rejected, 1 under way, 1 failed" in text
    assert "part 2: ValueError: the stage has a mistake" in text
    assert json.loads(as_json(status))["stages"][0]["pairs_in"] == 13


@pytest.mark.slow
def test_a_billion_pairs_are_planned_within_a_gigabyte(tmp_path: Path) -> None:
    code = """
import sys
from pipeline.cli.app import main
try:
    main(["run", sys.argv[1], "--run", sys.argv[2], "--until", "phrases", "--dry-run"])
except SystemExit as end:
    assert not end.code, end.code
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""  # ru_maxrss would be at least the parent's: it survives exec
    (tmp_path / "big.yaml").write_text("ingest: {source: scenes, count: 1000000000}\n")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big.yaml"), str(tmp_path / "run")],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert "100,000 parts, 1,000,000,000 pairs in the plan" in lines, done.stderr
    assert int(lines[-1]) < 1 << 20  # KiB
