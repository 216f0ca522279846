"""JSONL: one object a line; a line that is none costs one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from stages.ingest.lines import Line, Lines
from stages.ingest.samples import parse_object
from stages.stage import RowError

LINE_LIMIT = 1 << 26  # bytes; images may stand in the lines


def is_json_lines(uri: str) -> bool:
    return uri.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def lengths(file: BinaryIO) -> Iterator[int]:
    """Bytes of each record from the file's position on; empty lines count to the record after them."""
    return (length for length, _ in _records(file))


def read(file: BinaryIO) -> Iterator[dict[str, Any] | RowError]:
    """The objects from the file's position on."""
    return (record for _, record in read_sized(file))


def read_sized(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """As `read`, each with its length in bytes."""
    for length, line in _records(file):
        try:
            if line is None:
                raise RowError("bad_record", f"a line of more than {LINE_LIMIT} bytes")
            yield length, parse_object(line.data)
        except RowError as error:
            yield length, error


def _records(file: BinaryIO) -> Iterator[tuple[int, Line | None]]:
    """(length in bytes, line) of each record; None for a line that is too long."""
    lines = Lines(file, LINE_LIMIT)
    skipped = 0
    while (line := lines.next()).length:
        if not line.data.strip():
            skipped += line.length
            continue
        yield skipped + line.length, None if lines.cut(line) else line
        skipped = 0
