"""Members of a tar as samples."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from stages.ingest.samples import index_tar, split_name
from tests.stages.tars import tar


def test_names_are_split_as_webdataset_splits_them() -> None:
    assert split_name("a/b.c/000.JPG") == ("a/b.c/000", "jpg")
    assert split_name("000.seg.png") == ("000", "seg.png")
    assert split_name("/etc/passwd.jpg") == ("/etc/passwd", "jpg")
    assert [split_name(name) for name in ("README", ".hidden", "a/.x.jpg", "__meta__/a.jpg", "")] == [None] * 5


def grouped(*names: Any) -> Any:
    index = index_tar(io.BytesIO(tar(*((name, b"x") for name in names))))
    return [(sample.key, sorted(sample.members), sample.duplicate) for sample in index.samples]


def test_members_of_a_sample_need_not_be_neighbours() -> None:
    assert grouped("a.jpg", "b.jpg", "a.txt", "b.txt") == [("a", ["jpg", "txt"], False), ("b", ["jpg", "txt"], False)]


def test_a_repeated_member_begins_a_duplicate() -> None:
    assert grouped("a.jpg", "a.txt", "a.jpg", "a.txt") == [("a", ["jpg", "txt"], False), ("a", ["jpg", "txt"], True)]


def test_dotted_names_are_told_from_further_members() -> None:
    assert grouped("a.1.jpg", "a.1.txt", "a.2.jpg", "a.2.txt") == [
        ("a.1", ["jpg", "txt"], False),
        ("a.2", ["jpg", "txt"], False),
    ]
    assert grouped("a.jpg", "a.seg.png", "a.txt") == [("a", ["jpg", "seg.png", "txt"], False)]
    assert grouped("a.txt", "a.other.txt") == [("a", ["other.txt", "txt"], False)]


def test_webdataset_groups_the_same(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    entries = ["x/0.jpg", "x/0.txt", "x/1.png", "x/1.seg.png", "x/1.txt", "y/1.jpg", "README", "__info__/a.txt"]
    path = tmp_path / "a.tar"
    path.write_bytes(tar(*((name, b"x") for name in entries)))
    theirs = [
        (found["__key__"], sorted(key for key in found if not key.startswith("__")))
        for found in webdataset.WebDataset(str(path), shardshuffle=False)
    ]
    assert [(key, members) for key, members, _ in grouped(*entries)] == theirs
