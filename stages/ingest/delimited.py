"""Tables of text, read so that one broken record costs one row. How they are to be read is found out by `sniff`.

Written by hand because a broken record must end in the rejects with its place: Python's csv module, Arrow and pandas
stop at one, skip it without its row, or swallow the rows behind an open quote.

With quotes as in RFC 4180 a cell in quotes may hold dividers and line ends; without them a quote is a character.
Without a header the columns are named by their position: 0, 1, ...
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from stages.ingest.lines import Line, Lines
from stages.stage import RowError

LINE_LIMIT = 1 << 24  # bytes
_RECORD_LINES = 1_000  # lines of one quoted record; beyond it the quote is taken for a stray one
Record = list[str] | RowError
csv.field_size_limit(LINE_LIMIT)  # its own limit is less than many an image in base64


@dataclass(frozen=True)
class Dialect:
    """`delimiter`: one character, with the space beside it that every row of the table has there, if so."""

    delimiter: str
    quotes: bool
    names: tuple[str, ...]
    header: bool

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_records(file: BinaryIO, delimiter: str, quotes: bool) -> Iterator[tuple[int, Record]]:
    """(length in bytes, fields) of each record from the file's position on; empty lines count to the record after them.

    Bytes that are not UTF-8 are kept as lone surrogates ("surrogateescape").
    """
    lines = Lines(file, LINE_LIMIT)
    skipped = 0
    while (line := lines.next()).length:
        length = line.length
        if not line.data.strip(b"\r\n"):
            skipped += length
            continue
        if lines.cut(line):
            record: Record = RowError("bad_record", f"a line of {length} bytes")
        elif quotes and b'"' in line.data:
            record, length = _quoted(lines, line, delimiter)
        else:
            record = decode(line.data).rstrip("\r\n").split(delimiter.strip(" "))
        yield skipped + length, record if len(delimiter) == 1 else _trimmed(record, delimiter)
        skipped = 0


def lengths(file: BinaryIO, dialect: Dialect) -> Iterator[int]:
    return (length for length, _ in read_records(file, dialect.delimiter, dialect.quotes))


def read(file: BinaryIO, dialect: Dialect) -> Iterator[dict[str, Any] | RowError]:
    """The records from the file's position on, by the names of the columns."""
    return (record for _, record in read_named(file, dialect))


def read_named(file: BinaryIO, dialect: Dialect) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """As `read`, each with its length in bytes."""
    names = dialect.names
    for length, record in read_records(file, dialect.delimiter, dialect.quotes):
        if isinstance(record, RowError):
            yield length, record
        elif len(record) != len(names):
            yield length, RowError("bad_record", f"{len(record)} fields where there are {len(names)} columns")
        else:
            yield length, {name: _cell(value) for name, value in zip(names, record)}


def _quoted(lines: Lines, first: Line, delimiter: str) -> tuple[Record, int]:
    """One record that has quotes, and its length. Where a quote is never closed, the first line alone is bad."""
    taken = [first]
    closed = True

    def more() -> Iterator[str]:
        nonlocal closed
        yield decode(first.data)
        while len(taken) < _RECORD_LINES and (line := lines.next()).length:
            taken.append(line)
            yield decode(line.data)
        closed = False

    character = delimiter.strip(" ")
    try:
        record = next(csv.reader(more(), delimiter=character, skipinitialspace=delimiter[-1] == " ", strict=True))
        problem = "" if closed else "a quote is opened and never closed"
    except csv.Error as error:
        problem = f"not CSV: {error}" if closed else "a quote is opened and never closed"
    if problem:
        lines.back(taken[1:])
        return RowError("bad_record", problem), first.length
    return record, sum(line.length for line in taken)


def _trimmed(record: Record, delimiter: str) -> Record:
    """Without the space that the delimiter has before or after it."""
    if isinstance(record, RowError):
        return record
    if delimiter[0] == " ":
        record = [*(cell.rstrip(" ") for cell in record[:-1]), record[-1]]
    return [record[0], *(cell.lstrip(" ") for cell in record[1:])] if delimiter[-1] == " " else record


def decode(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _cell(text: str) -> str | bytes:
    """A field as text, or as bytes where it is not UTF-8."""
    return text if text.isascii() or not _escaped(text) else text.encode("utf-8", "surrogateescape")


def _escaped(text: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in text)
