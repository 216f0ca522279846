"""Whether quotes in a table of text are those of CSV, or characters: told from its first rows."""

from __future__ import annotations

import io
import re
from collections import Counter

from stages.ingest.delimited import decode, read_records

_QUOTED_CELL = r'"(?:[^"]|"")*"'


def quoting(data: bytes, divider: str) -> bool | None:
    """Whether cells in quotes are meant as RFC 4180 has them; None where the rows speak for it and against it.

    Writers of CSV quote a cell that holds a divider, a quote (doubled) or a line end, and few others. A quote anywhere
    else is a character of a table that has no quoting.
    """
    is_csv = divider.strip(" ") in ",;"
    if b'"' not in data:
        return is_csv
    found = _cells(data, divider)
    needed, stray = found["needed"], found["stray"]
    if is_csv:
        return bool(needed or not found["broken"])
    if needed > 20 * stray:
        return None if found["folded"] and _lines_agree(data, divider) else True
    if stray > 20 * needed:
        return False
    if needed and stray:
        return None
    return bool(found["whole"] and not found["bare"])  # every cell in quotes, as some writers have it


def _lines_agree(data: bytes, divider: str) -> bool:
    """Whether all lines have one width when quotes are characters: those of a cell with a line end have another one."""
    records = (record for _, record in read_records(io.BytesIO(data), divider, False))
    return len({len(record) for record in records if isinstance(record, list)}) == 1


def _cells(data: bytes, divider: str) -> Counter[str]:
    """The cells of the sample, read with quoting, by what their quotes say: `needed` and `whole` are in quotes, with
    and without need (of the former, the `folded` have a line end in them); `stray` have a quote where none belongs,
    among them the `broken`, which begin with one; `bare` have none, numbers left out.
    """
    character, space = re.escape(divider.strip(" ")), " ?" if len(divider) > 1 else ""
    cell = re.compile(rf"{space}({_QUOTED_CELL}){space}(?={character}|$)|([^{character}]*)")
    need = re.compile(rf'""|[\r\n]|{character}')
    found: Counter[str] = Counter()
    offset = 0
    for length, _ in read_records(io.BytesIO(data), divider, True):
        text = decode(data[offset : offset + length]).strip("\r\n")
        offset += length
        position = 0
        while position <= len(text) and (match := cell.match(text, position)):
            quoted, plain = match[1], match[2]
            if quoted is not None:
                found["needed" if need.search(quoted[1:-1]) else "whole"] += 1
                found["folded"] += "\n" in quoted
            elif '"' in plain:
                found["stray"] += 1
                found["broken"] += plain.startswith('"')
            elif not plain.strip().isdecimal():
                found["bare"] += 1
            position = match.end() + 1
    return found
