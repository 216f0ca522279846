"""Commit records: what is written is read back, and what is none is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.commit import CommitRecord, Counts, FileEntry

RECORD = CommitRecord(
    stage="label",
    part=7,
    fingerprint="abc",
    counts=Counts(10, 7, 2, {"no_image": 1}),
    files=(FileEntry("labels/part-0000007.parquet", 123, "f" * 64),),
    seconds=1.25,
    versions={"torch": "2.13.0"},
    notes={"batches": [[0, 1], [2]]},
)


def test_a_record_is_read_back_and_its_text_does_not_depend_on_order() -> None:
    text = RECORD.to_json()
    assert CommitRecord.from_json(text) == RECORD and text.endswith("\n")
    turned = json.dumps(dict(reversed(json.loads(text).items())))
    assert CommitRecord.from_json(turned).to_json() == text
    assert json.loads(text)["counts"] == {"in": 10, "out": 7, "rejected": 2, "set_aside": {"no_image": 1}}


def test_rows_add_up() -> None:
    assert RECORD.counts.balanced
    assert not replace(RECORD.counts, out=8).balanced
    assert Counts(0, 0).balanced and not Counts(1, 0).balanced


@pytest.mark.parametrize(
    "change",
    [
        {"stage": 1},
        {"part": "7"},
        {"counts": {"in": 1}},
        {"counts": {"in": 1, "out": "1", "rejected": 0, "set_aside": {}}},
        {"files": [{"path": "x"}]},
        {"files": [{"path": "x", "size": "1", "sha256": "y"}]},
        {"versions": {"torch": 2}},
        {"notes": []},
        {"seconds": None},
    ],
)
def test_a_value_of_another_type_makes_no_record(change: dict[str, Any]) -> None:
    text = json.dumps({**json.loads(RECORD.to_json()), **change})
    with pytest.raises(ValueError, match="not a commit record"):
        CommitRecord.from_json(text)


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "[" * 100_000])
def test_what_is_no_object_makes_no_record(text: str) -> None:
    with pytest.raises(ValueError):
        CommitRecord.from_json(text)
