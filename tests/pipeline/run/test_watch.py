"""The screen of a run, looked at by a clock that the test holds."""

from __future__ import annotations

import json
from pathlib import Path

from toy_runs import make_config, run_toys, write_source
from toys import PROJECT

from pipeline.run.failures import Failure, remember
from pipeline.run.lock import RunLock
from pipeline.run.target import part_target
from pipeline.run.watch import Watch
from pipeline.storage.base import Storage
from pipeline.storage.open import open_storage


def beat(storage: Storage, done: int) -> None:
    record = {"stage": "phrases", "target": "part-0000002", "done": done, "total": 0, "message": ""}
    storage.write("state/attempts/x.json", json.dumps(record).encode())


def test_the_screen_of_a_run(tmp_path: Path, source: Path, marks: Path) -> None:
    """Phrases has made 4 parts of 5 with 7 pairs; the worker at the last one does 3 pairs in 4 seconds."""
    write_source(source, 1, 5, first="@raise always")
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    storage = open_storage(config.run)
    watch = Watch(storage, PROJECT, config)
    with RunLock(storage):
        beat(storage, 0)
        _, lines = watch.look(100.0)
        assert "  phrases   4/5 parts, 7 pairs, 1 failed" in lines
        beat(storage, 1)
        watch.look(102.0)
        beat(storage, 3)
        found, lines = watch.look(104.0)
        assert found.running and "running (pid" in lines[0]
        assert "  phrases   4/5 parts, 10 pairs, 0.8/s, 0 s left, 1 failed" in lines
        beat(storage, 3)
        _, lines = watch.look(500.0)
        assert "  phrases   4/5 parts, 10 pairs, 1 failed" in lines  # nothing came for a minute
    failed = Failure("phrases", part_target(2), "")
    assert f"failed    {failed.where}: ValueError: the stage has a mistake" in lines
    (rejected,) = [line for line in lines if line.startswith("rejected")]
    assert rejected.startswith("rejected  2: ")
    assert any(line.startswith("disk      ") and " GB free of " in line for line in lines)
    found, lines = watch.look(501.0)
    assert not found.running and lines[0].endswith("not running")


def test_the_last_failure_is_shown(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    storage = open_storage(config.run)
    assert not any(line.startswith("failed") for line in Watch(storage, PROJECT, config).look(0.0)[1])
    for part in (3, 1):
        remember(storage, Failure("phrases", part_target(part), f"mistake {part}"))
    (line,) = [line for line in Watch(storage, PROJECT, config).look(0.0)[1] if line.startswith("failed")]
    assert line.endswith(": mistake 1")
