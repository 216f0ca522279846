"""The same bytes on Ray, whatever dies or hangs meanwhile; with a real local Ray."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from toy_runs import KeptRay, data_files, make_config, only_hangs_are_overdue, run_toys, write_source, write_sources

from pipeline.execution import dispatch
from pipeline.execution.dispatch import Dispatch
from pipeline.execution.ray_pool import RayExecutor
from stages.stage import UserError


@pytest.fixture
def wide_source(tmp_path: Path) -> Path:
    return write_sources(tmp_path, 7)


@pytest.fixture
def expected(tmp_path: Path, wide_source: Path) -> dict[str, str]:
    """What one process makes of the source, in peace."""
    run_toys(make_config(tmp_path / "inline", wide_source))
    return data_files(tmp_path / "inline")


def test_one_and_two_workers_give_the_bytes_of_one_process(
    tmp_path: Path, wide_source: Path, expected: dict[str, str], ray_of: KeptRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill, flights = Dispatch._fill, []

    def counted(self: Dispatch) -> None:
        fill(self)
        flights.append(sum(len(slot.queue) for slot in self._pool.slots))

    monkeypatch.setattr(Dispatch, "_fill", counted)
    for workers in (1, 2):
        flights.clear()
        run = tmp_path / f"ray-{workers}"
        report = run_toys(make_config(run, wide_source), ray_of(workers=workers))
        assert report.made == {"ingest": 14, "phrases": 14, "shard": 15, "train": 1}
        assert max(flights) == 2 * workers
        assert data_files(run) == expected


def test_a_part_that_kills_its_worker_three_times_fails_alone(
    tmp_path: Path, wide_source: Path, marks: Path, ray_of: KeptRay
) -> None:
    write_source(wide_source, 2, 8, first="@die always")  # part 4
    write_source(wide_source, 6, 8, first="@die2 then no more")  # part 12
    run, fresh = tmp_path / "run", tmp_path / "fresh"
    report = run_toys(make_config(run, wide_source), ray_of(workers=2))
    assert [failure.where for failure in report.failed] == ["phrases, part 4"]
    assert "killed its worker 3 times" in report.failed[0].error
    assert "the last line of a worker" in report.failed[0].error
    assert len(list(marks.glob("die-4-*"))) == 3 and len(list(marks.glob("die-12-*"))) == 3
    assert report.made == {"ingest": 14, "phrases": 13, "shard": 13}
    (marks / "peace").touch()
    again = run_toys(make_config(run, wide_source), ray_of(workers=2))
    assert again.made == {"phrases": 1, "shard": 2, "train": 1} and not again.failed
    run_toys(make_config(fresh, wide_source))
    assert data_files(run) == data_files(fresh)


def test_a_part_that_hangs_is_tried_twice(
    tmp_path: Path, wide_source: Path, marks: Path, ray_of: KeptRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_source(wide_source, 2, 8, first="@hang always")  # part 4
    write_source(wide_source, 6, 8, first="@hang1 once")  # part 12
    only_hangs_are_overdue(monkeypatch, marks, {4: 2, 12: 1})
    report = run_toys(make_config(tmp_path / "run", wide_source), ray_of(workers=2, deadline=2.0))
    assert [failure.where for failure in report.failed] == ["phrases, part 4"]
    assert report.failed[0].error == "no progress within the deadline of 2 s, 2 times"
    assert report.made["phrases"] == 13
    assert len(list(marks.glob("hang-4-*"))) == 2 and len(list(marks.glob("hang-12-*"))) == 2


def test_an_error_in_a_stage_fails_its_part_on_ray_too(
    tmp_path: Path, wide_source: Path, marks: Path, ray_of: KeptRay
) -> None:
    write_source(wide_source, 3, 8, first="@raise always")
    report = run_toys(make_config(tmp_path / "run", wide_source), ray_of(workers=2))
    assert [(failure.where, failure.error) for failure in report.failed] == [
        ("phrases, part 6", "ValueError: the stage has a mistake")
    ]


def test_a_worker_that_was_lost_after_its_commit_is_not_blamed(
    tmp_path: Path, wide_source: Path, expected: dict[str, str], ray_of: KeptRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    collect, killed = Dispatch._collect, []

    def lose(self: Dispatch, slot: Any) -> Any:
        """Kills a worker now and then, without its outcome having been read."""
        target = slot.queue[0][1].target
        if target.part in (3, 7, 11) and target not in killed:
            killed.append(target)
            ray.kill(slot.actor)
            yield from self._handle_worker_failure(slot, RuntimeError("killed by the test"))
            return
        yield from collect(self, slot)

    monkeypatch.setattr(Dispatch, "_collect", lose)
    report = run_toys(make_config(tmp_path / "run", wide_source), ray_of(workers=2))
    assert not report.failed and killed
    assert data_files(tmp_path / "run") == expected


def test_the_local_ray_is_small_and_tells_nobody(ray_of: KeptRay, tmp_path: Path, wide_source: Path) -> None:
    import ray

    run_toys(make_config(tmp_path / "run", wide_source), ray_of(workers=2), stages=("ingest",))
    assert ray.cluster_resources()["object_store_memory"] <= 256 << 20
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert not ray.worker.global_worker.node.address_info.get("webui_url")


def test_a_machine_that_lacks_something_ends_the_run_with_one_line(
    tmp_path: Path, source: Path, ray_of: KeptRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "versions", lambda: {"pyarrow": "1.0", "rarepackage": "2.5"})
    line = r"^\S+: pyarrow is [\d.]+, not 1\.0; rarepackage 2\.5 is not installed; install there what this machine has$"
    with pytest.raises(UserError, match=line):
        run_toys(make_config(tmp_path / "run", source), ray_of(workers=2))


def test_parts_do_not_wait_for_workers_that_never_start(
    tmp_path: Path, wide_source: Path, expected: dict[str, str], ray_of: KeptRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that shrank: more workers were started than there are machines for now."""
    monkeypatch.setattr(RayExecutor, "limit", lambda self: 4)
    monkeypatch.setattr(dispatch, "PATIENCE", 0.5)
    run_toys(make_config(tmp_path / "run", wide_source), ray_of(workers=2))
    assert data_files(tmp_path / "run") == expected


def test_a_part_that_is_slow_but_moves_is_left_alone(
    tmp_path: Path, wide_source: Path, marks: Path, ray_of: KeptRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever it has moved, the driver is made to believe that the deadline has passed meanwhile."""
    write_source(wide_source, 2, 8, first="@walk on")
    is_overdue, seen = Dispatch._is_overdue, []

    def overdue(self: Dispatch, slot: Any) -> bool:
        task = slot.queue[0][1]
        done = max((beat["done"] for _, beat in self._heartbeats(task)), default=0)
        if not list(marks.glob(f"walk-{task.target.part}-*")) or slot.since is None or done <= slot.done:
            return False
        seen.append(done)
        if len(seen) == 3:
            (marks / "arrived").touch()
        slot.since -= 1000
        return is_overdue(self, slot)

    monkeypatch.setattr(Dispatch, "_is_overdue", overdue)
    report = run_toys(make_config(tmp_path / "run", wide_source), ray_of(workers=2, deadline=500.0))
    assert not report.failed and len(list(marks.glob("walk-*"))) == 1
    assert len(seen) >= 3
