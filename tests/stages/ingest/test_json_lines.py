"""One JSON object a line; a line that is none costs one row."""

from __future__ import annotations

import io
import json

import pytest

from stages.ingest import json_lines
from stages.stage import RowError

OBJECTS = [{"caption": "a dog"}, {"caption": "zwei Hünde", "more": [1, {"x": None}]}, {}]


def reasons(data: bytes) -> list[str | dict[str, object]]:
    return [record.reason if isinstance(record, RowError) else record for record in json_lines.read(io.BytesIO(data))]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n \n"])
@pytest.mark.parametrize("last", ["", "\n"])
@pytest.mark.parametrize("ascii", [True, False])
def test_objects_come_back_and_lengths_add_up(end: str, last: str, ascii: bool) -> None:
    data = (end.join(json.dumps(value, ensure_ascii=ascii) for value in OBJECTS) + last).encode()
    assert reasons(data) == OBJECTS
    lengths = list(json_lines.lengths(io.BytesIO(data)))
    assert len(lengths) == len(OBJECTS) and sum(lengths) == len(data)
    for start in range(len(OBJECTS)):
        file = io.BytesIO(data)
        file.seek(sum(lengths[:start]))
        assert list(json_lines.read(file)) == OBJECTS[start:]


def test_what_is_no_object_is_a_row_of_its_own() -> None:
    lines = [b'{"a": 1}', b"[1]", b"{", b"7", b'{"a": "\xff"}', b"[" * 100_000, b'{"a": 2}']
    expected = [{"a": 1}, "bad_record", "bad_record", "bad_record", "caption_not_text", "bad_record", {"a": 2}]
    assert reasons(b"\n".join(lines)) == expected


def test_a_line_beyond_the_limit_is_a_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LINE_LIMIT", 20)
    assert reasons(b'{"a": 1}\n' + b'{"a": "' + b"x" * 100 + b'"}\n' + b'{"a": 2}\n') == [
        {"a": 1},
        "bad_record",
        {"a": 2},
    ]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("a.jsonl", True), ("x/A.NDJSON", True), ("a.jsonl.gz", True), ("a.json", False), ("jsonl", False)],
)
def test_names_of_such_files(uri: str, expected: bool) -> None:
    assert json_lines.is_json_lines(uri) is expected
