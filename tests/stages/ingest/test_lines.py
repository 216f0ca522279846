"""Lines of a file, and what is left of very long ones."""

from __future__ import annotations

import io

import pytest

from stages.ingest.lines import Line, Lines


def all_of(lines: Lines) -> list[Line]:
    found = []
    while (line := lines.next()).length:
        found.append(line)
    return found


@pytest.mark.parametrize("data", [b"", b"a", b"a\n", b"a\nbb\n\nccc", b"\n\n", b"a\r\nb", b"\x00\xff\n"])
def test_lines_are_those_of_the_file(data: bytes) -> None:
    lines = Lines(io.BytesIO(data), 100)
    found = all_of(lines)
    assert [line.data for line in found] == data.splitlines(keepends=True)
    assert sum(line.length for line in found) == len(data)
    assert [line for line in found if lines.cut(line)] == []


@pytest.mark.parametrize("length", [7, 8, 9, 15, 16, 17, 100])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_of_a_long_line_the_beginning_is_kept_and_the_length_known(length: int, end: bytes) -> None:
    lines = Lines(io.BytesIO(b"x" * length + end + (b"next\n" if end else b"")), 8)
    first, *rest = all_of(lines)
    assert first == ((b"x" * length + end)[:8], length + len(end))
    assert lines.cut(first) is (length + len(end) > 8)
    assert rest == ([(b"next\n", 5)] if end else [])


def test_lines_that_were_read_too_far_come_again_in_their_order() -> None:
    lines = Lines(io.BytesIO(b"1\n2\n3\n4\n"), 100)
    first, second, third = (lines.next() for _ in range(3))
    lines.back([second, third])
    assert [line.data for line in all_of(lines)] == [b"2\n", b"3\n", b"4\n"] and first.data == b"1\n"


def test_reading_begins_where_the_file_stands() -> None:
    file = io.BytesIO(b"1\n2\n3\n")
    file.seek(2)
    assert [line.data for line in all_of(Lines(file, 100))] == [b"2\n", b"3\n"]
