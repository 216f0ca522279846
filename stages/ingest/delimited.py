"""CSV and TSV, read so that one broken record costs one row.

Written by hand because a broken record must end in the rejects with its place: Python's csv module, Arrow and pandas
stop at one, skip it without its row, or swallow the rows behind an open quote.

CSV has quotes as in RFC 4180, also around line ends. TSV has none: a quote is a character, as in the public caption
lists. Without a header the columns are named by their position: 0, 1, ...
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest.lines import Line, Lines
from stages.ingest.listing import Unclear
from stages.ingest.records import USUAL_NAMES, Columns, find_columns
from stages.stage import RowError, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

LINE_LIMIT = 1 << 24  # bytes
_RECORD_LINES = 1_000  # lines of one quoted record; beyond it the quote is taken for a stray one
_SAMPLE = 100  # records that are looked at to tell captions from addresses
_WEB = ("http://", "https://")
Record = list[str] | RowError


@dataclass(frozen=True)
class Dialect:
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
            record = _decode(line.data).rstrip("\r\n").split(delimiter)
        yield skipped + length, record
        skipped = 0


def lengths(file: BinaryIO, dialect: Dialect) -> Iterator[int]:
    return (length for length, _ in read_records(file, dialect.delimiter, dialect.quotes))


def read(file: BinaryIO, dialect: Dialect) -> Iterator[dict[str, Any] | RowError]:
    """The records from the file's position on, by the names of the columns."""
    names = dialect.names
    for _, record in read_records(file, dialect.delimiter, dialect.quotes):
        if isinstance(record, RowError):
            yield record
        elif len(record) != len(names):
            yield RowError("bad_record", f"{len(record)} fields where there are {len(names)} columns")
        else:
            yield {name: _cell(value) for name, value in zip(names, record)}


def _quoted(lines: Lines, first: Line, delimiter: str) -> tuple[Record, int]:
    """One record that has quotes, and its length. Where a quote is never closed, the first line alone is bad."""
    taken = [first]
    closed = True

    def more() -> Iterator[str]:
        nonlocal closed
        yield _decode(first.data)
        while len(taken) < _RECORD_LINES and (line := lines.next()).length:
            taken.append(line)
            yield _decode(line.data)
        closed = False

    try:
        record = next(csv.reader(more(), delimiter=delimiter))
        problem = "" if closed else "a quote is opened and never closed"
    except csv.Error as error:
        problem = f"not CSV: {error}"
    if problem:
        lines.back(taken[1:])
        return RowError("bad_record", problem), first.length
    return record, sum(line.length for line in taken)


def _decode(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def _cell(text: str) -> str | bytes:
    """A field as text, or as bytes where it is not UTF-8."""
    return text if text.isascii() or not _escaped(text) else text.encode("utf-8", "surrogateescape")


def _escaped(text: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in text)


def detect(file: BinaryIO, name: str, config: IngestConfig) -> tuple[Dialect, Columns, int]:
    """How the file is to be read, what its columns are, and where its first record begins. Raises UserError."""
    start = _start(file, name)
    file.seek(start)
    first_line = file.readline(LINE_LIMIT)
    delimiter = _delimiter(first_line, name)
    quotes = delimiter != "\t"
    file.seek(start)
    sample = [entry for _, entry in zip(range(_SAMPLE), read_records(file, delimiter, quotes))]
    rows = [record for _, record in sample if not isinstance(record, RowError)]
    if not rows:
        raise UserError(f"{name}: no rows that can be read as {'CSV' if quotes else 'TSV'}")
    length, first = sample[0]
    if not isinstance(first, RowError) and _has_header(first, config):
        return Dialect(delimiter, quotes, tuple(first), True), find_columns(first, config, name), start + length
    ((width, _),) = Counter(map(len, rows)).most_common(1)
    names = tuple(str(i) for i in range(width))
    return Dialect(delimiter, quotes, names, False), _by_content(rows, names, config, name), start


def _start(file: BinaryIO, name: str) -> int:
    """After the byte order mark. Raises UserError for UTF-16, and for files that are no text at all."""
    head = file.read(4096)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{name}: UTF-16; convert it to UTF-8 first (iconv -f utf-16 -t utf-8)")
    if head.startswith((b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\xff\xd8\xff", b"\x89PNG")):
        raise UserError(f"{name}: a binary file, not a table in text form, whatever its name says")
    return 3 if head.startswith(b"\xef\xbb\xbf") else 0


def _delimiter(line: bytes, name: str) -> str:
    """By the name; a .csv whose first line has no comma may be divided by tabs or semicolons."""
    wanted = "\t" if ".tsv" in name else ","
    if wanted.encode() in line:
        return wanted
    return next((other for other in ("\t", ";", ",") if other.encode() in line), wanted)


def _has_header(first: list[str], config: IngestConfig) -> bool:
    """A first row with an address is none; one with the caption's name, or any usual name of a column, is."""
    if any(value.startswith(_WEB) for value in first):
        return False
    if config.caption:
        return config.caption in first or not config.caption.isdecimal()
    return any(value.lower() in USUAL_NAMES for value in first)


def _by_content(rows: list[list[str]], names: tuple[str, ...], config: IngestConfig, where: str) -> Columns:
    """Without a header: the column of addresses is the url, the only other one the caption. May raise Unclear."""
    full = [row for row in rows if len(row) == len(names)]
    web = [name for i, name in enumerate(names) if 2 * sum(row[i].startswith(_WEB) for row in full) > len(full)]
    rest = [name for name in names if name not in web]
    caption = config.caption or (rest[0] if len(rest) == 1 and len(web) <= 1 else "")
    url = config.url or (web[0] if len(web) == 1 else "")
    if not caption:
        shown = ", ".join(f"{name} ({value[:40]!r})" for name, value in zip(names, full[0]))
        raise Unclear(f"{where}: no header, and any column may be the caption; set ingest.caption to one of {shown}")
    chosen = Columns(caption, config.image or "", url, config.id or "")
    unknown = [name for name in chosen.to_json().values() if name not in names]
    if unknown:
        raise UserError(f"{where}: there is no column {unknown[0]!r}; without a header they are {', '.join(names)}")
    return chosen
