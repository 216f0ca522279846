"""Records of tables of text: their cells, and their lengths in the file."""

from __future__ import annotations

import csv
import io

import pytest

from stages.ingest import delimited
from stages.ingest.delimited import Dialect, lengths, read, read_records
from stages.stage import RowError

CELLS = [["plain", "1"], ['say "hi", they said', "2"], ["two\nlines\r\n here", "3"], ["", "4"], ["5'' nail ü", "5"]]


def written(divider: str, style: int = csv.QUOTE_MINIMAL, end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=divider, quoting=style, lineterminator=end).writerows(CELLS)  # type: ignore[arg-type]
    return text.getvalue().encode()


@pytest.mark.parametrize("divider", [",", ";", "\t", "|"])
@pytest.mark.parametrize("style", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_what_csv_writes_comes_back_from_any_record_on(divider: str, style: int, end: str) -> None:
    data = written(divider, style, end)
    found = list(read_records(io.BytesIO(data), divider, True))
    assert [record for _, record in found] == CELLS
    start = 0
    for number, (length, _) in enumerate(found):
        file = io.BytesIO(data)
        file.seek(start)
        assert [record for _, record in read_records(file, divider, True)] == CELLS[number:]
        start += length
    assert data[start:].strip(b"\n") == b""


def test_without_quoting_a_quote_is_a_character_and_a_line_a_record() -> None:
    records = [record for _, record in read_records(io.BytesIO(b'"a\t1\n\nb"\t2\r\n'), "\t", False)]
    assert records == [['"a', "1"], ['b"', "2"]]


def test_space_beside_the_divider_is_no_part_of_a_cell() -> None:
    data = b'a dog , x\n"one, two" , y\n'
    assert next(record for _, record in read_records(io.BytesIO(data), " , ", False)) == ["a dog", "x"]
    assert [record for _, record in read_records(io.BytesIO(b"a| b c |d\n"), "| ", False)] == [["a", "b c ", "d"]]


def named(data: bytes, names: tuple[str, ...] = ("caption", "id")) -> list[dict[str, object] | str]:
    found = read(io.BytesIO(data), Dialect(",", True, names, False))
    return [record.detail if isinstance(record, RowError) else record for record in found]


def test_a_broken_record_costs_one_row() -> None:
    data = b'a,1\ntoo,many,fields\nfew\n"c" d,4\nb,3\n"never closed,2\nafter it,5\n'
    assert named(data) == [
        {"caption": "a", "id": "1"},
        "3 fields where there are 2 columns",
        "1 fields where there are 2 columns",
        "not CSV: ',' expected after '\"'",
        {"caption": "b", "id": "3"},
        "a quote is opened and never closed",
        {"caption": "after it", "id": "5"},
    ]


def test_bytes_that_are_no_text_stay_bytes() -> None:
    assert named(b"\xff\xfea,1\n\xc3\xbc,2\n") == [{"caption": b"\xff\xfea", "id": "1"}, {"caption": "ü", "id": "2"}]


def test_a_line_beyond_the_limit_is_one_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "LINE_LIMIT", 20)
    data = b"a,1\n" + b"x" * 100 + b",2\nb,3\n"
    assert named(data)[1] == "a line of 103 bytes" and len(named(data)) == 3
    assert list(lengths(io.BytesIO(data), Dialect(",", True, ("caption", "id"), False))) == [4, 103, 4]
