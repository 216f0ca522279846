"""Commit records in the run folder: one JSON a part, written last, so that it proves that its files are complete."""

from __future__ import annotations

import re

from pipeline.storage.base import Storage
from schemas.commit import CommitRecord

RESULT = "result"  # name of the record of what a reduce stage merges, beside the records of its parts
_PART = re.compile(r"^(?:part-)?(\d{7})\b")


def record_path(stage: str, part: int | None) -> str:
    """`part` None: the record of a reduce stage's merged result."""
    return f"commits/{stage}/{RESULT}.json" if part is None else f"commits/{stage}/part-{part:07d}.json"


def part_of_path(path: str) -> int | None:
    """The part that a file's name speaks of: `part-0000012.parquet` and `0000012-003.tar` give 12, others None."""
    found = _PART.match(path.rpartition("/")[2])
    return int(found[1]) if found else None


def read_record(storage: Storage, stage: str, part: int | None) -> CommitRecord | None:
    """None where there is no record, or one that is damaged: its part is made again."""
    data = storage.read_or_none(record_path(stage, part))
    if data is None:
        return None
    try:
        return CommitRecord.from_json(data.decode())
    except ValueError:
        return None


def write_record(storage: Storage, record: CommitRecord, part: int | None) -> None:
    storage.write(record_path(record.stage, part), record.to_json().encode())
