"""Complete files under final names, or none, on a disk: full, read-only, or changing meanwhile."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest
from toy_runs import data_files, make_config, run_toys, write_source

from pipeline.storage import local as local_module
from pipeline.storage.retry import StoreError
from schemas.commit import CommitRecord


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
    """The buffer of a staged file cannot be written out any more, not even to be discarded."""
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


def test_a_folder_that_cannot_be_written(tmp_path: Path, source: Path) -> None:
    (tmp_path / "run").write_text("a file, not a folder")
    with pytest.raises((StoreError, OSError)):
        run_toys(make_config(tmp_path / "run", source))


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
