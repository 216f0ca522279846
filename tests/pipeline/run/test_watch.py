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


def beat(storage: Storage, done: int, stage: str = "phrases", total: int = 0) -> None:
    record = {"stage": stage, "target": "part-0000002", "done": done, "total": total, "message": ""}
    storage.write("state/attempts/x.json", json.dumps(record).encode())


def line_of(watch: Watch, stage: str, now: float) -> str:
    (line,) = [line for line in watch.look(now)[1] if line.split()[:1] == [stage]]
    return line


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


def test_before_its_first_part_is_done_a_stage_is_as_long_as_the_one_before(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config, stages=("ingest",))
    storage = open_storage(config.run)
    watch = Watch(storage, PROJECT, config)
    with RunLock(storage):
        beat(storage, 0)
        assert "left" not in line_of(watch, "phrases", 0.0)
        beat(storage, 2)
        found, _ = watch.look(1.0)
        pairs = next(stage.pairs_out for stage in found.stages if stage.stage == "ingest")
        assert pairs > 4 and f", 2 pairs, 2.0/s, {(pairs - 2) / 2:.0f} s left" in line_of(watch, "phrases", 1.0)


def test_a_job_counts_its_steps_and_begins_again_where_they_do(tmp_path: Path, source: Path) -> None:
    """As a training does, of which the crops come first."""
    config = make_config(tmp_path / "run", source)
    run_toys(config, stages=("ingest", "phrases"))
    storage = open_storage(config.run)
    watch = Watch(storage, PROJECT, config)
    with RunLock(storage):
        for now, done in ((0.0, 100), (10.0, 120)):
            beat(storage, done, "train", total=200)
            line = line_of(watch, "train", now)
        assert line == "  train     0/1 done, 120/200 steps, 2.0/s, 40 s left"
        beat(storage, 5, "train", total=60)
        assert line_of(watch, "train", 12.0) == "  train     0/1 done, 5/60 steps"
        beat(storage, 15, "train", total=60)
        assert line_of(watch, "train", 22.0) == "  train     0/1 done, 15/60 steps, 1.0/s, 45 s left"


def test_the_last_failure_is_shown(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    storage = open_storage(config.run)
    assert not any(line.startswith("failed") for line in Watch(storage, PROJECT, config).look(0.0)[1])
    for part in (3, 1):
        remember(storage, Failure("phrases", part_target(part), f"mistake {part}"))
    (line,) = [line for line in Watch(storage, PROJECT, config).look(0.0)[1] if line.startswith("failed")]
    assert line.endswith(": mistake 1")
