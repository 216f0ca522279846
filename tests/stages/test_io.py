"""What a stage may touch is what the pipeline gives it, method by method."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from pipeline.storage.files import PartFiles, RunFiles, SourceFiles
from stages.io import Files, PartIO, RowError, RunIO, Slice

PAIRS = [(Files, SourceFiles), (PartIO, PartFiles), (RunIO, RunFiles)]


def members(protocol: type[Any]) -> dict[str, Any]:
    return {name: value for name, value in inspect.getmembers(protocol) if not name.startswith("_")}


@pytest.mark.parametrize(("protocol", "kind"), PAIRS)
def test_the_pipeline_has_every_method_with_its_parameters(protocol: type[Any], kind: type[Any]) -> None:
    promised = members(protocol)
    assert len(promised) >= 3
    for name, value in promised.items():
        given = inspect.getattr_static(kind, name)
        if isinstance(value, property):
            assert isinstance(given, property), name
        else:
            expected = inspect.signature(value).parameters
            found = inspect.signature(getattr(kind, name)).parameters
            assert [(p.name, p.default) for p in found.values()] == [(p.name, p.default) for p in expected.values()]


def test_every_part_knows_its_number_and_its_share_of_the_source() -> None:
    def silent(done: int, total: int, message: str) -> None:
        pass

    piece = Slice("a.tar", 0, 7)
    io = PartFiles(None, 3, piece, "attempt", silent, {})  # type: ignore[arg-type]
    assert PartIO.__annotations__.keys() == {"part", "slice"} and (io.part, io.slice) == (3, piece)


def test_a_row_error_says_its_reason_and_where_there_is_one_the_detail() -> None:
    assert str(RowError("bad_record")) == "bad_record"
    error = RowError("bad_record", "line 7 is no JSON")
    assert (error.reason, error.detail, str(error)) == (
        "bad_record",
        "line 7 is no JSON",
        "bad_record: line 7 is no JSON",
    )
