"""How a table of text is to be read, from its first thousand rows: divider, quoting, header, roles of its columns.

Whatever the config says is taken; the rest is found out. Where two readings are possible, the user is asked.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from schemas.dividers import DIVIDERS
from stages.ingest.delimited import LINE_LIMIT, Dialect, decode, read_records
from stages.ingest.listing import Unclear
from stages.ingest.quoting import quoting
from stages.ingest.roles import (
    WEB,
    Columns,
    FindFolder,
    find_columns,
    holds_image_names,
    image_column,
    is_usual,
    listed,
)
from stages.stage import RowError, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

ROWS = 1_000
_BYTES = 1 << 23
_BINARY = (b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\xff\xd8\xff", b"\x89PNG", b"ARROW1")


@dataclass(frozen=True)
class Sample:
    """The first rows of a file: their bytes, and whether these are all. `start`: where they begin, in bytes."""

    name: str
    data: bytes
    start: int
    whole: bool


def detect(
    file: BinaryIO, name: str, config: IngestConfig, find_folder: FindFolder = lambda names: ""
) -> tuple[Dialect, Columns, int]:
    """How the file is to be read, what its columns are, and where its first record begins.

    `find_folder`: where image files of some names lie. Raises UserError for what is no table; Unclear.
    """
    sample = take_sample(file, name)
    wanted = [DIVIDERS[config.divider]] if config.divider else list(DIVIDERS.values())
    readings = [_Reading(sample, divider, config, find_folder) for divider in wanted]
    if not any(reading.rows for reading in readings):
        raise UserError(f"{name}: no rows that can be read as a table")
    chosen = _choose(readings, name)
    if chosen.quotes is None:
        raise _two_quotings(sample, chosen)
    return chosen.dialect, chosen.columns, sample.start + chosen.skipped


def take_sample(file: BinaryIO, name: str) -> Sample:
    """From after the byte order mark. Raises UserError for UTF-16, and for files that are no text at all."""
    head = file.read(4096)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{name}: UTF-16; convert it to UTF-8 first (iconv -f utf-16 -t utf-8)")
    if head.startswith(_BINARY):
        raise UserError(f"{name}: a binary file, not a table in text form, whatever its name says")
    start = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    file.seek(start)
    lines: list[bytes] = []
    size = 0
    while len(lines) < ROWS and size < _BYTES and (line := file.readline(LINE_LIMIT)):
        lines.append(line)
        size += len(line)
    return Sample(name, b"".join(lines), start, whole=not file.read(1))


class _Reading:
    """The sample, read with one divider."""

    def __init__(self, sample: Sample, divider: str, config: IngestConfig, find_folder: FindFolder) -> None:
        self.sample = sample
        self.divider = divider
        self.config = config
        self.find_folder = find_folder
        self.delimiter = _with_space(sample.data, divider)

    @cached_property
    def quotes(self) -> bool | None:
        """None where cells speak for quoting as well as against it."""
        if self.config.quoting != "auto":
            return bool(self.config.quoting == "csv")
        return quoting(self.sample.data, self.delimiter)

    @cached_property
    def entries(self) -> list[tuple[int, list[str] | RowError]]:
        found = list(read_records(io.BytesIO(self.sample.data), self.delimiter, self.quotes is not False))
        return found if self.sample.whole or len(found) < 2 else found[:-1]  # the last one may be cut

    @cached_property
    def rows(self) -> list[list[str]]:
        return [record for _, record in self.entries if not isinstance(record, RowError)]

    @cached_property
    def width(self) -> int:
        return Counter(map(len, self.rows)).most_common(1)[0][0] if self.rows else 0

    @property
    def full(self) -> list[list[str]]:
        return [row for row in self.rows if len(row) == self.width]

    @property
    def share(self) -> float:
        """Of the records, those that have the usual number of cells."""
        return len(self.full) / len(self.entries)

    @property
    def begins_well(self) -> bool:
        return isinstance(self.entries[0][1], list) and len(self.entries[0][1]) == self.width

    @cached_property
    def header(self) -> bool:
        first = self.entries[0][1]
        return isinstance(first, list) and _is_header(first, self.full[1:], self.config)

    @property
    def skipped(self) -> int:
        """Bytes of the header."""
        return self.entries[0][0] if self.header else 0

    @property
    def dialect(self) -> Dialect:
        names = [name.strip() for name in self.rows[0]] if self.header else map(str, range(self.width))
        return Dialect(self.delimiter, self.quotes is not False, tuple(names), self.header)

    @cached_property
    def columns(self) -> Columns:
        """Raises UserError."""
        names, name = self.dialect.names, self.sample.name
        rows = [dict(zip(names, row)) for row in self.full[self.header and self.begins_well :]]
        if self.header:
            return find_columns(names, rows, self.config, name, self.find_folder)
        return _by_content(rows, names, self.config, name, self.find_folder)

    @property
    def understood(self) -> bool:
        try:
            return bool(self.columns)
        except UserError:
            return False

    def __str__(self) -> str:
        word = next(word for word, character in DIVIDERS.items() if character == self.divider)
        return f"{word} (first row: {' '.join(f'[{cell[:40]}]' for cell in self.rows[0][:5])})"


def _with_space(data: bytes, divider: str) -> str:
    """The divider, with the space that it has beside it in the names of the columns and in every row after them."""
    lines = [line.split(divider.encode(), 2) for line in data.splitlines()]
    divided = [cells for cells in lines if len(cells) > 1]
    if not divided or not any(is_usual(decode(name)) for name in lines[0]):
        return divider
    before, after = (all(cells[0].endswith(b" ") for cells in divided), all(cells[1][:1] == b" " for cells in divided))
    return " " * before + divider + " " * after


def _choose(readings: list[_Reading], name: str) -> _Reading:
    """The one with the most rows of one width; of several, the one whose columns are understood. Raises Unclear."""
    able = [reading for reading in readings if reading.rows and reading.width > 1 and reading.share > 0.5]
    able = [reading for reading in able if reading.begins_well] or able
    if not able:
        return next((reading for reading in readings if reading.divider == ","), readings[0])
    best = max(reading.share for reading in able)
    close = [reading for reading in able if reading.share > best - 0.1]
    clear = close if len(close) == 1 else [reading for reading in close if reading.understood]
    if len(clear) == 1:
        return clear[0]
    if not clear and close[0].divider == "\t":  # which captions do not have
        return close[0]
    raise Unclear(f"{name}: two readings are possible; set ingest.divider to {' or '.join(map(str, clear or close))}")


def _two_quotings(sample: Sample, reading: _Reading) -> Unclear:
    shown = []
    for word, quotes in (("csv", True), ("none", False)):
        rows = [row for _, row in read_records(io.BytesIO(sample.data), reading.divider, quotes)]
        odd = next((row for row in rows if isinstance(row, list) and any('"' in cell for cell in row)), rows[0])
        cells = odd if isinstance(odd, list) else [str(odd)]
        shown.append(f"{word} (a row: {' '.join(f'[{cell[:60]}]' for cell in cells[:5])})")
    return Unclear(f"{sample.name}: two readings are possible; set ingest.quoting to {' or '.join(shown)}")


def _is_header(first: list[str], rows: list[list[str]], config: IngestConfig) -> bool:
    """A first row with an address is none; one with the caption's name, or any usual name of a column, is."""
    if config.header is not None:
        return bool(config.header)
    if any(value.startswith(WEB) for value in first):
        return False
    if config.caption:
        numbers = [cell for cell in map(str.strip, first) if cell]
        unnamed = numbers == [str(number) for number in range(len(numbers))]  # what pandas calls such columns
        return unnamed or not config.caption.isdecimal()
    return any(is_usual(value) for value in first) or any(map(_is_name_of, first, zip(*rows)))


def _is_name_of(first: str, column: tuple[str, ...]) -> bool:
    """Whether the first cell of a column of addresses or of images' names is a word, and so the column's name."""
    addresses = sum(map(_is_address, column)) > 0.9 * len(column) > 0
    return bool(re.fullmatch(r"[A-Za-z_ ]+", first)) and (addresses or holds_image_names(column))


def _by_content(
    rows: list[dict[str, str]], names: tuple[str, ...], config: IngestConfig, where: str, find_folder: FindFolder
) -> Columns:
    """Without a header: the column of addresses is the url, the only other one the caption. May raise Unclear.

    A column of names of images that are there is the image's, and numbers are no captions. One column alone may be
    anything.
    """
    web = [name for name in names if 2 * sum(_is_address(row[name]) for row in rows) > len(rows)]
    numbers = [name for name in names if rows and all(row[name].isdecimal() for row in rows)]
    free = [name for name in names if name not in web and name not in (config.caption, config.url, config.id)]
    image = image_column(free, rows, config, where, find_folder) if config.image is None else config.image
    rest = [name for name in names if name not in (*web, *numbers, image)]
    single = len(rest) == 1 and len(web) <= 1 and len(names) > 1
    words = single and not holds_image_names(row[rest[0]] for row in rows)
    caption = config.caption or (rest[0] if words else "")
    url = config.url or (web[0] if len(web) == 1 and config.url is None else "")
    if not caption:
        shown = ", ".join(f"{name} ({value[:40]!r})" for name, value in (rows[0] if rows else {}).items())
        raise Unclear(f"{where}: no header, and any column may be the caption; set ingest.caption to one of {shown}")
    chosen = Columns(caption, image or "", url, config.id or "")
    for role, name in chosen.to_json().items():
        if name not in names:
            known = ", ".join(names)
            raise Unclear(f"ingest.{role}: {where}: there is no column {name!r}; without a header they are {known}")
    if config.images and not chosen.image and not chosen.id:
        question = "ingest.images is given, but no column names the image of a row"
        raise Unclear(f"{where}: {question}; set ingest.image to one of {listed(names)}")
    return chosen


def _is_address(value: str) -> bool:
    return value.startswith(WEB) and not re.search(r"\s", value)
