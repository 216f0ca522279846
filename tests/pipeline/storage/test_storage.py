"""Complete files under final names, or none: on a disk, and in a real S3 server on the loopback."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import subprocess
import sys
import time
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
from pipeline.storage import local as local_module
from pipeline.storage import staged as staged_files
from pipeline.storage.files import PartFiles, SourceFiles, sha256_of
from pipeline.storage.local import LocalStorage
from pipeline.storage.object_store import filesystem
from pipeline.storage.open import open_storage
from pipeline.storage.retry import StoreError
from pipeline.storage.staged import StagedFile
from schemas.commit import CommitRecord
from schemas.config import Config
from stages.stage import UserError


def silent(done: int, total: int, message: str) -> None:
    pass


def test_a_draft_is_seen_by_nobody_until_it_is_published(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    staged = storage.staged("pairs/part-0000000.parquet", "attempt")
    staged.write(b"abc")
    staged.write(memoryview(b"defg"))
    assert storage.list("pairs") == {} and not storage.exists("pairs/part-0000000.parquet")
    staged.publish()
    assert storage.list("pairs") == {"pairs/part-0000000.parquet": 7}
    assert staged.entry.sha256 == hashlib.sha256(b"abcdefg").hexdigest() and staged.entry.size == 7
    assert storage.list("state") == {}


def test_an_attempt_that_fails_leaves_the_former_file(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    storage.write("student/weights", b"former")
    from pipeline.storage.files import RunFiles

    with pytest.raises(RuntimeError), RunFiles(storage, [], "attempt", silent).create("student/weights") as file:
        file.write(b"half of")
        raise RuntimeError
    assert storage.read("student/weights") == b"former" and storage.list("state") == {}


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "pairs/../../x"])
def test_no_name_leads_out_of_the_run(tmp_path: Path, path: str) -> None:
    io = PartFiles(LocalStorage(str(tmp_path / "run")), 0, None, "attempt", silent, {})
    with pytest.raises(ValueError, match="outside of the run folder"), io.create(path) as file:
        file.write(b"x")
    assert not (tmp_path / "outside").exists()


def test_a_full_disk_is_one_clear_line_and_leaves_no_half_file(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path / "run", source)
    fsync, left = os.fsync, [20]

    def full(descriptor: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"part \d+: .*: no space left on the disk; free some and run again"):
            run_toys(config)
    whole = {path for record in (tmp_path / "run/commits").rglob("*.json") for path in [record.read_text()]}
    assert whole and not run_toys(config).failed
    run_toys(make_config(tmp_path / "calm", source))
    assert data_files(tmp_path / "run") == data_files(tmp_path / "calm")


def test_a_file_system_that_is_really_full(tmp_path: Path, source: Path) -> None:
    """The buffer of a draft cannot be written out any more, not even to be thrown away."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here (root alone may)")
    try:
        write_source(source, 4, 400)
        run, config = small / "run", make_config(small / "run", source, part_size=400)
        with pytest.raises(StoreError, match=r"^[^\n]*: no space left on the disk; free some and run again$"):
            run_toys(config)
        made = [CommitRecord.from_json(path.read_text()) for path in (run / "commits").rglob("*.json")]
        assert all((run / file.path).stat().st_size == file.size for record in made for file in record.files)
        assert not [path for path in (run / "state").rglob("*") if path.is_file() and path.name != "lock.guard"]
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        assert not run_toys(config).failed
        run_toys(make_config(tmp_path / "calm", source, part_size=400))
        assert data_files(run) == data_files(tmp_path / "calm")
    finally:
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def test_drafts_of_killed_processes_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_files.tempfile, "tempdir", str(tmp_path))
    staged_files._folder_of.cache_clear()
    mine = staged_files.staging_folder()
    space, pid, _ = mine.name.split("-")
    for name in (
        f"{space}-{pid}-1",
        f"{space}-4194304-5",
        f"1-{pid}-1",
    ):  # a reused pid, a dead one, another container's
        (mine.parent / name).mkdir()
    staged_files._folder_of.cache_clear()
    assert staged_files.staging_folder() == mine
    assert sorted(path.name for path in mine.parent.iterdir()) == sorted([mine.name, f"1-{pid}-1"])
    staged_files._folder_of.cache_clear()


def test_a_folder_that_cannot_be_written(tmp_path: Path, source: Path) -> None:
    (tmp_path / "run").write_text("a file, not a folder")
    with pytest.raises((StoreError, OSError)):
        run_toys(make_config(tmp_path / "run", source))


# -- object stores ---------------------------------------------------------------------------------------------------


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


def test_a_source_in_an_object_store(tmp_path: Path, source: Path, bucket: str) -> None:
    fs, base = filesystem(f"{bucket}/captions")
    for file in source.iterdir():
        fs.put_file(str(file), f"{base}/{file.name}")
    listed = SourceFiles(open_storage(str(tmp_path))).list_source(f"{bucket}/captions")
    assert [(file.uri.rpartition("/")[2], file.size) for file in listed] == sorted(
        (file.name, file.stat().st_size) for file in source.iterdir()
    )
    run_toys(make_config(tmp_path / "remote", f"{bucket}/captions"))
    run_toys(make_config(tmp_path / "local", source))
    same = [path for path in data_files(tmp_path / "local") if path != "plan.json"]
    assert all(data_files(tmp_path / "remote")[path] == data_files(tmp_path / "local")[path] for path in same)
    with pytest.raises(FileNotFoundError):
        SourceFiles(open_storage(str(tmp_path))).list_source(f"{bucket}/nothing")


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


def test_reads_in_the_middle_of_a_file_are_repeated_too(bucket: str, moody: Moody) -> None:
    storage = open_storage(f"{bucket}/reads")
    data = os.urandom(100_000)
    storage.write("images/part-0000000.tar", data)
    with storage.open("images/part-0000000.tar") as file:
        moody.ranges = [503, 500]
        file.seek(40_000)
        assert file.read(20_000) == data[40_000:60_000] and file.tell() == 60_000 and not moody.ranges
    with storage.open("images/part-0000000.tar") as file:
        moody.ranges = [403] * 10
        with pytest.raises(StoreError, match=r"images/part-0000000\.tar: the store refuses access"):
            file.read(10)
    moody.ranges = []
    files = SourceFiles(storage)
    with files.open_source(f"{bucket}/reads/images/part-0000000.tar") as file:
        moody.ranges = [503]
        assert file.read() == data


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
        end = time.monotonic() + 300
        while not list(marks.glob("hold-2-*")):
            assert driver.poll() is None and time.monotonic() < end
            time.sleep(0.05)
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


def test_a_file_that_goes_while_its_folder_is_listed_is_not_there(tmp_path: Path) -> None:
    """As heartbeats do, which the driver lists while workers end."""
    for name in "abc":
        (tmp_path / name).write_text(name)
    walk = local_module._walk(tmp_path, "state/attempts")
    first, _ = next(walk)
    for path in tmp_path.iterdir():
        if path.name != first[-1]:
            path.unlink()
    assert list(walk) == []


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
