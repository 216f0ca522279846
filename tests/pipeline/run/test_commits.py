"""Commit records are read as they were written; a damaged one counts as absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.run.commits import read_record, record_path, write_record
from pipeline.run.target import JOB, MERGED, Target, part_target
from pipeline.storage.local import LocalStorage
from schemas.commit import CommitRecord, Counts, FileEntry


def record_of(target: Target) -> CommitRecord:
    entry = FileEntry("labels/part-0000003.parquet", 12, "0" * 64)
    counts = Counts(5, 3, 1, {"no_boxes": 1})
    return CommitRecord("label", target.recorded, "f" * 64, counts, (entry,), 1.5, {"stage": "1"}, {"teacher": "glip"})


@pytest.mark.parametrize("target", [part_target(3), MERGED, JOB], ids=str)
def test_a_record_is_read_as_it_was_written(tmp_path: Path, target: Target) -> None:
    storage, record = LocalStorage(str(tmp_path)), record_of(target)
    assert read_record(storage, "label", target) is None
    write_record(storage, record, target)
    assert read_record(storage, "label", target) == record
    assert read_record(storage, "shard", target) is None
    assert read_record(storage, "label", part_target(4)) is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"stage": "label"}'])
def test_a_damaged_record_counts_as_absent(tmp_path: Path, text: bytes) -> None:
    storage = LocalStorage(str(tmp_path))
    storage.write(record_path("label", part_target(3)), text)
    assert read_record(storage, "label", part_target(3)) is None
