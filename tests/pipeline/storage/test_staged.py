"""A staged file is seen by nobody before it is published, and does not outlive its process."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipeline.storage import staged as staged_files
from pipeline.storage.local import LocalStorage


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
