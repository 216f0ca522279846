"""JSONL: one object a line; a line that is none costs one row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest.lines import Line, Lines
from stages.ingest.records import Columns, find_columns
from stages.ingest.samples import parse_object
from stages.stage import RowError, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

LINE_LIMIT = 1 << 26  # bytes; images may stand in the lines
_SAMPLE = 100


def is_json_lines(uri: str) -> bool:
    return uri.removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def lengths(file: BinaryIO) -> Iterator[int]:
    """Bytes of each record from the file's position on; empty lines count to the record after them."""
    return (length for length, _ in _records(file))


def read(file: BinaryIO) -> Iterator[dict[str, Any] | RowError]:
    """The objects from the file's position on."""
    for _, line in _records(file):
        try:
            if line is None:
                raise RowError("bad_record", f"a line of more than {LINE_LIMIT} bytes")
            yield parse_object(line.data)
        except RowError as error:
            yield error


def detect(file: BinaryIO, name: str, config: IngestConfig) -> Columns:
    """The columns by the names that the first objects have. Raises UserError."""
    names: dict[str, None] = {}
    for _, record in zip(range(_SAMPLE), read(file)):
        if isinstance(record, dict):
            names.update(dict.fromkeys(record))
    if not names:
        raise UserError(f"{name}: no line of it is a JSON object")
    return find_columns(list(names), config, name)


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
