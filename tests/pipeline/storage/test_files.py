"""What a stage reads and writes: sources, and complete files inside the run folder or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from moody_store import Moody
from toy_runs import data_files, make_config, run_toys

from pipeline.storage.files import PartFiles, RunFiles, SourceFiles
from pipeline.storage.local import LocalStorage
from pipeline.storage.object_store import filesystem
from pipeline.storage.open import open_storage
from pipeline.storage.retry import StoreError


def silent(done: int, total: int, message: str) -> None:
    pass


def test_an_attempt_that_fails_leaves_the_former_file(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    storage.write("student/weights", b"former")
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
