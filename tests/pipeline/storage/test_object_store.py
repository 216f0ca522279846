"""Complete files under final names, or none, in a real S3 server on the loopback."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from moody_store import Moody
from toy_runs import data_files, make_config, run_toys, write_source
from toys import PROJECT

from pipeline.run import lock
from pipeline.run.plan import read_plan
from pipeline.run.state import RunState
from pipeline.run.status import run_status
from pipeline.run.verify import verify
from pipeline.storage import staged as staged_files
from pipeline.storage.files import sha256_of
from pipeline.storage.open import open_storage
from pipeline.storage.retry import StoreError
from pipeline.storage.staged import StagedFile
from schemas.config import Config
from stages.stage import UserError
from tests.waiting import wait_for


def test_a_run_in_an_object_store_equals_one_on_a_disk(tmp_path: Path, source: Path, bucket: str) -> None:
    run = f"{bucket}/runs/one"
    report = run_toys(make_config(run, source))
    assert report.made == {"ingest": 5, "phrases": 5, "shard": 6, "train": 1}
    run_toys(make_config(tmp_path / "local", source))
    storage = open_storage(run)
    expected = data_files(tmp_path / "local")
    found = {path: hashlib.sha256(storage.read(path)).hexdigest() for path in expected}
    assert found == expected
    assert run_toys(make_config(run, source)).made == {}
    assert verify(RunState(storage, PROJECT, make_config(run, source), read_plan(storage))).problems == []
    storage.delete("pairs/part-0000001.parquet")
    assert run_toys(make_config(run, source)).made == {"ingest": 1}
    assert storage.list("state/drafts") == {} and storage.list("state/attempts") == {}


def test_a_store_that_is_busy_for_a_while_is_asked_again(
    tmp_path: Path, source: Path, bucket: str, moody: Moody
) -> None:
    moody.mood[:] = [503, 500, 503, None, 429, None, 0]  # a write whose connection is lost may wait for ever
    run = f"{bucket}/busy"
    assert not run_toys(make_config(run, source)).failed
    run_toys(make_config(tmp_path / "local", source))
    storage = open_storage(run)
    moody.cuts = 2
    for path, sha256 in data_files(tmp_path / "local").items():
        assert hashlib.sha256(storage.read(path)).hexdigest() == sha256
    assert not moody.mood and not moody.cuts


@pytest.mark.parametrize(("status", "line", "calls"), [(503, "keeps failing", 4), (403, "refuses access", 1)])
def test_a_store_that_stays_down_or_refuses_ends_the_run_with_one_line(
    source: Path, bucket: str, moody: Moody, status: int, line: str, calls: int
) -> None:
    config = make_config(f"{bucket}/down", source)
    run_toys(config, stages=("ingest",))
    storage = open_storage(config.run)
    before, moody.mood[:] = moody.writes, [status] * 100
    with pytest.raises(StoreError, match=f"commits/phrases/part-0000000.json: the store {line}") as error:
        storage.write("commits/phrases/part-0000000.json", b"{}")
    assert "\n" not in str(error.value) and moody.writes - before == calls
    with pytest.raises(StoreError, match=line):
        run_toys(config)
    moody.mood.clear()
    assert not storage.exists("commits/phrases/part-0000000.json")
    assert not run_toys(config).failed


def test_a_slow_store_is_waited_for(source: Path, bucket: str, moody: Moody) -> None:
    moody.delay = 0.2
    config = make_config(f"{bucket}/slow", source, part_size=100)
    assert run_toys(config, stages=("ingest",)).made == {"ingest": 3}


def test_an_answer_that_does_not_come_is_asked_for_again(
    bucket: str, moody: Moody, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "s3", {"config_kwargs": {"read_timeout": 3}})  # seconds; the driver's own are 60
    storage = open_storage(f"{bucket}/silent")
    storage._fs.retries = 1  # type: ignore[attr-defined]
    moody.mood[:] = [-1]
    storage.write("state/x", b"there")
    assert storage.read("state/x") == b"there" and not moody.mood


def test_an_upload_in_many_pieces_is_whole_or_not_there(bucket: str, moody: Moody) -> None:
    """Beyond 100 MB a file travels in pieces: one that gets lost, and a store that goes down in the middle."""
    storage = open_storage(f"{bucket}/large")
    block = os.urandom(1 << 20)

    def upload() -> StagedFile:
        staged = storage.staged("shards/0000000-000.tar", "attempt")
        for _ in range(101):
            staged.write(block)
        staged.publish()
        return staged

    moody.mood[:] = [None, *[503] * 99]
    with pytest.raises(StoreError, match=r"^shards/0000000-000\.tar: the store keeps failing"):
        upload()
    assert storage.list("shards") == {} and not list(staged_files.staging_folder().iterdir())
    moody.mood[:] = [None, None, 503]
    entry = upload().entry
    assert storage.list("shards") == {entry.path: 101 << 20} and not moody.mood
    assert sha256_of(storage, entry.path) == entry.sha256


def test_the_command_ends_with_one_line_and_exit_code_1(
    bucket: str, moody: Moody, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.cli.app import main

    command = ["ingest", f"{bucket}/runs/one", "--inline", "--set", "ingest.count=2"]
    moody.mood[:] = [None, None, 403]
    with pytest.raises(SystemExit) as end:
        main(command)
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "the store refuses access" in line and "check the credentials and rights" in line
    with pytest.raises(SystemExit) as end:
        main(command)
    assert not end.value.code


def test_a_run_on_another_machine_is_seen_respected_and_followed(
    tmp_path: Path, source: Path, marks: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver in a process of its own, which this one takes for a machine of another name, is killed in mid-run."""
    write_source(source, 1, 5, first="@hold on")  # part 2
    run = f"{bucket}/runs/far"
    command = [sys.executable, str(Path(__file__).parents[1] / "drive.py"), run, str(source), "inline"]
    monkeypatch.setattr(lock.socket, "gethostname", lambda: "this-machine")
    storage, driver = open_storage(run), subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: list(marks.glob("hold-2-*")), driver)
        status = run_status(storage, PROJECT, Config())
        assert status.running == f"pid {driver.pid} on {platform.node()}"
        assert [(stage.done, stage.under_way) for stage in status.stages[:3]] == [(5, 0), (2, 1), (0, 0)]
        config = make_config(run, source, train__steps=20)
        with pytest.raises(UserError, match=f"in use by another run \\(pid {driver.pid} on "):
            run_toys(config)
        assert run_status(storage, PROJECT, Config()) == status
    finally:
        driver.kill()
        driver.communicate()
    (marks / "peace").touch()
    assert run_status(storage, PROJECT, Config()).running  # nobody can know yet
    monkeypatch.setattr(lock, "STALE", 0.0)
    assert not run_status(storage, PROJECT, Config()).running
    assert run_toys(config).made == {"phrases": 3, "shard": 6, "train": 1}
    run_toys(make_config(tmp_path / "local", source, train__steps=20))
    for path, sha256 in data_files(tmp_path / "local").items():
        assert hashlib.sha256(storage.read(path)).hexdigest() == sha256


def test_of_two_runs_that_begin_at_the_same_moment_the_first_one_has_the_store(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one looked before the first one wrote, and writes long after the first one made sure."""
    first, second = open_storage(f"{bucket}/both"), open_storage(f"{bucket}/both")
    looks, read = [None], second.read_or_none
    monkeypatch.setattr(second, "read_or_none", lambda path: looks.pop() if looks else read(path))
    monkeypatch.setattr(second, "exists", lambda path: False)
    with lock.RunLock(first) as held:
        with pytest.raises(UserError, match="was taken by another run at the same moment"), lock.RunLock(second):
            pass
        assert not looks and lock.holds(first, held.run_id)


def test_a_store_without_conditional_writes_is_written_to_all_the_same(bucket: str, moody: Moody) -> None:
    storage = open_storage(f"{bucket}/plain")
    moody.mood[:] = [501]
    storage.create("state/lock", b"one")
    assert storage.read("state/lock") == b"one" and not moody.mood
    with pytest.raises(FileExistsError):
        storage.create("state/lock", b"two")


def test_a_missing_driver_or_a_strange_uri_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(UserError, match=r"nosuch://bucket/run: cannot open this kind of URI \(Protocol not known"):
        open_storage("nosuch://bucket/run")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for name in ("s3", "gs"):  # where a driver was loaded before
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, name, raising=False)
    for uri, extra in {"s3://bucket/run": "s3", "gs://bucket/run": "gcs"}.items():
        with pytest.raises(UserError, match=rf"cannot open this kind of URI \(pip install 'phrasebox\[{extra}\]'\)"):
            open_storage(uri)
