"""A JSON file as a table: a list of objects, or an object with one such list in it.

The file is read an object at a time, so that its size does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

from stages.ingest.samples import BYTE_ORDER_MARK
from stages.json_stream import stream, stream_from
from stages.stage import RowError, UserError

Kind = Literal["lines", "whole", ""]
_SAMPLE = 1_000
_LINE = 1 << 20  # bytes of a line that is looked at


def is_json(uri: str) -> bool:
    return uri.lower().endswith(".json")


def json_kind(file: BinaryIO, expected: Kind) -> Kind:
    """Whether the text from the file's position on is one JSON object a line, or JSON as a whole, or none.

    `expected`: by the file's name, which holds where nothing speaks against it.
    """
    start = file.tell()
    first, second = _first_lines(file)
    file.seek(start)
    opening, after = first[:1], first[1:].lstrip()[:1]
    if not ((opening == b"{" and after in b'"}') or (opening == b"[" and after in b"{[]")):
        return expected
    if opening == b"{" and second[:1] == b"{":
        return "lines"
    return "lines" if expected == "lines" and (len(first) >= _LINE or _is_json(first)) else "whole"


def _first_lines(file: BinaryIO) -> tuple[bytes, bytes]:
    """The first two that are not empty, without the space around them."""
    found: list[bytes] = []
    while len(found) < 2 and (line := file.readline(_LINE)):
        text = line.removeprefix(BYTE_ORDER_MARK)
        if text.strip():
            found.append(text.strip() if len(line) < _LINE else text)
    return found[0] if found else b"", found[1] if len(found) > 1 else b""


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def sample(file: BinaryIO, name: str) -> tuple[str, list[dict[str, Any]]]:
    """The key of the list of records ("" for a file that is one), and its first records. Raises UserError."""
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for array, _, value in stream(file):
            rows = found.setdefault(array, [])
            if isinstance(value, dict) and len(rows) < _SAMPLE:
                rows.append(value)
            if array == "" and len(rows) == _SAMPLE:
                break
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
    lists = [array for array, rows in found.items() if rows]
    if {"annotations", "images"} <= set(lists):
        raise UserError(f"{name}: an annotation file, not a table; set ingest.format to coco")
    if len(lists) != 1:
        known = f"; its lists are {', '.join(map(repr, found))}" if found else ""
        wanted = "no list of objects, nor an object with one such list"
        raise UserError(f"{name}: the JSON that begins at byte 0 is {wanted}{known}")
    return lists[0], found[lists[0]]


def records(file: BinaryIO, array: str) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """(offset in bytes, record) of each element of the list, from the start of the file. Raises UserError."""
    for name, offset, value in stream(file):
        if name == array:
            yield offset, _record(value)


def records_from(file: BinaryIO, array: str, offset: int) -> Iterator[dict[str, Any] | RowError]:
    return (_record(element.value) for element in stream_from(file, array, offset))


def _record(value: Any) -> dict[str, Any] | RowError:
    if isinstance(value, dict):
        return value
    return RowError("bad_record", f"a JSON {type(value).__name__} where an object is expected")
