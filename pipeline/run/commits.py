"""Commit records in the run folder: one JSON a target, written last, so that it proves that its files are complete."""

from __future__ import annotations

from pipeline.run.target import Target
from pipeline.storage.base import Storage
from schemas.commit import CommitRecord


def record_path(stage: str, target: Target) -> str:
    return f"commits/{stage}/{target.name}.json"


def read_record(storage: Storage, stage: str, target: Target) -> CommitRecord | None:
    """None where there is no record, or one that is damaged: what it spoke of is recomputed."""
    data = storage.read_or_none(record_path(stage, target))
    if data is None:
        return None
    try:
        return CommitRecord.from_json(data.decode())
    except ValueError:
        return None


def write_record(storage: Storage, record: CommitRecord, target: Target) -> None:
    storage.write(record_path(record.stage, target), record.to_json().encode())
