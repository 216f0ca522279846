"""One run at a time; a dead owner's lock is no obstacle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_runs import data_files, make_config, run_toys

from pipeline.execution.worker import Worker
from pipeline.run import lock
from pipeline.run.lock import LOCK, RunLock, holds, read_lock
from pipeline.run.target import part_target
from pipeline.run.task import Context, Task, reference_of
from pipeline.storage.open import open_storage
from stages.stage import UserError
from tests.waiting import wait_for

HOLD = """
import signal, sys
from pipeline.run.lock import RunLock
from pipeline.storage.open import open_storage
with RunLock(open_storage(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def owner(**changes: object) -> dict[str, object]:
    return {"run_id": "other", **lock._this_process(), "heartbeat": time.time(), **changes}


def put(run: Path, record: dict[str, object]) -> None:
    (run / "state").mkdir(parents=True, exist_ok=True)
    (run / LOCK).write_text(json.dumps(record))


def test_a_second_run_refuses_and_harms_nothing(tmp_path: Path, source: Path) -> None:
    run_toys(make_config(tmp_path, source))
    before = data_files(tmp_path)
    storage = open_storage(str(tmp_path))
    with RunLock(storage) as held:
        with pytest.raises(UserError, match=rf"in use by another run \(pid {os.getpid()} on .*\); wait for it"):
            run_toys(make_config(tmp_path, source, part_size=2))
        assert holds(storage, held.run_id)
    assert not (tmp_path / LOCK).exists()
    assert data_files(tmp_path) == before


def test_a_killed_owner_is_followed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its process, which is gone: its heartbeat would count for long on another machine."""
    monkeypatch.setattr(lock, "STALE", 1e9)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=str(holder.pid)), RunLock(open_storage(str(tmp_path))):
        pass
    holder.kill()
    holder.wait()
    record = json.loads((tmp_path / LOCK).read_text())
    assert record["pid"] == holder.pid
    with RunLock(open_storage(str(tmp_path))) as taken:  # never waits: it takes the lock, or raises
        assert holds(open_storage(str(tmp_path)), taken.run_id)


@pytest.mark.parametrize(
    ("changes", "age", "alive"),
    [
        ({}, 0, True),
        ({"started": "1"}, 0, False),  # the pid was given to another process
        ({"pid": 1 << 22}, 0, False),
        ({"host": "elsewhere"}, 0, True),
        ({"host": "elsewhere"}, 45, True),  # its next heartbeat may be late, on a busy store
        ({"host": "elsewhere"}, 61, False),
        ({"boot": "another boot or container"}, 0, True),
        ({"boot": "another boot or container"}, 61, False),
        ({}, 10_000, True),  # on this machine the process itself is asked
    ],
)
def test_who_counts_as_alive(
    tmp_path: Path, changes: dict[str, object], age: float, alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`age`: seconds since the owner's last heartbeat, by a clock that stands still."""
    now = time.time()
    monkeypatch.setattr(lock.time, "time", lambda: now)
    put(tmp_path, owner(**changes, heartbeat=now - age))
    storage = open_storage(str(tmp_path))
    if alive:
        with pytest.raises(UserError), RunLock(storage):
            pass
    else:
        with RunLock(storage) as taken:
            assert holds(storage, taken.run_id)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_lock_is_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / LOCK).write_text(text)
    with RunLock(open_storage(str(tmp_path))) as taken:
        assert holds(open_storage(str(tmp_path)), taken.run_id)


def test_the_heartbeat_goes_on_until_the_lock_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT", 0.05)
    storage = open_storage(str(tmp_path))
    with RunLock(storage) as held:
        first = (read_lock(storage) or {})["heartbeat"]
        wait_for(lambda: (read_lock(storage) or {})["heartbeat"] > first)
        wait_for(lambda: put(tmp_path, owner()) or held.lost)
    assert (read_lock(storage) or {})["run_id"] == "other"  # it is not ours to delete


def test_a_worker_that_outlives_its_run_commits_nothing(tmp_path: Path, source: Path) -> None:
    from toys import ToyIngest

    config = make_config(tmp_path / "run", source)
    run_toys(config)
    before = data_files(tmp_path / "run")
    storage = open_storage(config.run)
    put(tmp_path / "run", owner())  # another run has taken over
    piece = ToyIngest(config).plan(_files(storage), 2)[0]
    late = Worker(Context(storage.root, config.model_dump_json(), "late"))
    outcome = late.run(Task(reference_of(ToyIngest), part_target(0), "another fingerprint", {}, piece))
    assert outcome.record is None and "taken over by another run" in outcome.error
    assert data_files(tmp_path / "run") == before
    assert not list((tmp_path / "run/state/drafts").iterdir())


def test_a_run_that_lost_its_folder_leaves_the_new_owners_drafts_alone(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that slept for minutes: another run has taken over meanwhile, and is at work."""
    from toys import ToyPhrases

    from pipeline.storage.retry import StoreError

    run_part = ToyPhrases.run_part

    def asleep(self: ToyPhrases, io: object) -> object:
        put(tmp_path / "run", owner())
        (tmp_path / "run/state/drafts").mkdir(parents=True, exist_ok=True)
        (tmp_path / "run/state/drafts/of-the-new-run").write_text("half")
        return run_part(self, io)  # type: ignore[arg-type]

    monkeypatch.setattr(ToyPhrases, "run_part", asleep)
    with pytest.raises(StoreError, match="taken over by another run"):
        run_toys(make_config(tmp_path / "run", source))
    assert [path.name for path in (tmp_path / "run/state/drafts").iterdir()] == ["of-the-new-run"]
    assert (read_lock(open_storage(str(tmp_path / "run"))) or {})["run_id"] == "other"


def _files(storage: object) -> object:
    from pipeline.storage.files import SourceFiles

    return SourceFiles(storage)  # type: ignore[arg-type]
