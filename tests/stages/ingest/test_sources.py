"""Every kind of source is opened by its name; a slice says which one it is of."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from schemas.config import IngestConfig
from stages.ingest.sources import SOURCES, absolute, open_source, plan, planned_format, resolve, rows
from stages.stage import RowError, Slice, UserError
from tests.stages.conftest import Run
from tests.stages.tars import plain_tar, sample, write


@pytest.mark.parametrize("format", SOURCES)
def test_each_source_has_the_methods_of_one(format: str) -> None:
    source = open_source(IngestConfig(), format)
    assert type(source).__module__ == SOURCES[format].partition(":")[0]
    assert callable(source.plan) and callable(source.rows) and source.unused.counts() == {}


def test_slices_carry_the_format_and_are_read_by_it(run: Run, tmp_path: Path) -> None:
    path = plain_tar(tmp_path / "in/a.tar", [*sample("0", "a dog"), *sample("1", "a cat")])
    config = IngestConfig(source=path)
    assert planned_format(config, run.io()) == "webdataset"
    pieces = list(plan(open_source(config, "webdataset"), "webdataset", run.io(), 1))
    assert [piece.extra["format"] for piece in pieces] == ["webdataset"] * 2
    found = [row.caption for piece in pieces for row in rows(config, run.io(), piece)]
    assert found == ["a dog", "a cat"]


def test_a_file_that_changed_or_that_could_not_be_planned(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "in/a.csv", b"caption\na\n")
    config = IngestConfig(source=str(tmp_path / "in"))
    piece = Slice(path, 0, 1, size=10, extra={"format": "table", "damaged": "no table"})
    (row,) = rows(config, run.io(), piece)
    assert (row.source_id, row.caption) == ("a.csv", None)
    assert isinstance(row.error, RowError) and (row.error.reason, row.error.detail) == ("damaged_source", "no table")
    with pytest.raises(ValueError, match=r"a\.csv has changed since it was planned; run again"):
        rows(config, run.io(), dataclasses.replace(piece, size=11))


@pytest.mark.parametrize(
    ("source", "format", "expected"),
    [("scenes", "auto", "scenes"), ("a.tar", "auto", "webdataset"), ("a.tsv", "auto", "table"), ("in", "odvg", "odvg")],
)
def test_the_format_is_resolved_where_the_path_tells_it(source: str, format: str, expected: str) -> None:
    assert resolve(IngestConfig(source=source, format=format))["format"] == expected  # type: ignore[arg-type]


def test_of_a_folder_only_the_content_tells(tmp_path: Path) -> None:
    found = resolve(IngestConfig(source=str(tmp_path), images="pictures"))
    assert found == {"source": str(tmp_path), "images": os.path.abspath("pictures")}


def test_scenes_have_no_path() -> None:
    with pytest.raises(UserError, match=r"the format is scenes, but the source is 'a\.tar'"):
        resolve(IngestConfig(source="a.tar", format="scenes"))


def test_workers_start_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute("a/../b.tar") == os.path.abspath("b.tar")
    assert absolute("~/b.tar") == "/home/somebody/b.tar"
    assert absolute("s3://bucket/a/../b.tar") == "s3://bucket/a/../b.tar"
