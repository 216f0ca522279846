"""Tar files read without trust: where each member's bytes lie, and what in the file is damaged.

Python's tarfile raises or goes astray on hostile headers; here a damaged stretch is reported, and reading goes on at
the next sound header. No member name is ever used as a path, and nothing is allocated by a size that a header claims.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from stages.stage import RowError

BLOCK = 512
_EXTENSION_LIMIT = 1 << 20  # bytes of a pax header or a GNU long name
_UNPACKED_LIMIT = 64 << 30  # bytes of a compressed tar, unpacked
_REGULAR, _FOLDER = (b"0", b"\0", b"7"), b"5"
_WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


@dataclass(frozen=True)
class Member:
    """A file in a tar: bytes [offset, offset + size). With an `error` its bytes cannot be used."""

    name: str
    offset: int
    size: int
    error: RowError | None = None


@dataclass(frozen=True)
class Damage:
    """A stretch of the tar in which no member can be recognised."""

    offset: int
    length: int


@dataclass(frozen=True)
class _Header:
    name: str
    size: int
    kind: bytes


def scan_all(file: BinaryIO, limit: int | None = None) -> tuple[list[Member | Damage], bool]:
    """What `scan` yields, at most `limit` of it, and whether the tar has an end marker behind it."""
    found: list[Member | Damage] = []
    scanning = scan(file)
    while limit is None or len(found) < limit:
        try:
            found.append(next(scanning))
        except StopIteration as end:
            return found, bool(end.value)
    return found, False


def scan(file: BinaryIO) -> Generator[Member | Damage, None, bool]:
    """The members of a seekable tar in file order, folders left out; only headers are read.

    Returns whether the tar has an end marker: without one something may have been cut off behind a whole member.
    """
    end = file.seek(0, os.SEEK_END)
    position, pax = 0, _Pax()
    while position < end:
        file.seek(position)
        block = file.read(BLOCK)
        if not block.strip(b"\0"):
            return True  # the end marker
        header = _parse(block)
        if header is None:
            following = _next_header(file, position + BLOCK, end)
            yield Damage(position, following - position)
            position, pax = following, _Pax()
            continue
        data = position + BLOCK
        if header.kind in (b"x", b"g", b"L", b"K") and 0 <= header.size <= _EXTENSION_LIMIT:
            if header.kind in (b"x", b"L"):
                pax.read(header.kind, file.read(header.size))
            position = data + _padded(header.size)
            continue
        size = header.size if pax.size is None else pax.size
        name, sparse = pax.name or header.name, pax.sparse
        pax = _Pax()
        stop = data if header.kind in _WITHOUT_DATA else data + size
        if size < 0 or stop > end:
            following = _next_header(file, data, end)
            yield Member(name, data, 0, _bad_size(size, following < end))
            position = following
            continue
        if header.kind != _FOLDER:
            yield Member(name, data, size, _unsafe(header.kind, sparse))
        position = data + _padded(stop - data)
    return False


def _bad_size(size: int, goes_on: bool) -> RowError:
    if goes_on or size < 0:
        return RowError("unsafe_member", f"its header claims {size} bytes")
    return RowError("truncated_source", f"the file ends within its {size} bytes")


def _unsafe(kind: bytes, sparse: bool) -> RowError | None:
    if kind in _REGULAR and not sparse:
        return None
    return RowError("unsafe_member", "a sparse file" if sparse else _KINDS.get(kind, f"of type {kind!r}"))


class _Pax:
    """What an extended header says of the member after it."""

    def __init__(self) -> None:
        self.name = ""
        self.size: int | None = None
        self.sparse = False

    def read(self, kind: bytes, data: bytes) -> None:
        if kind == b"L":
            self.name = _text(data)
            return
        while data:
            length, _, _ = data.partition(b" ")
            if not length.isdigit() or not len(length) < int(length[:9]) <= len(data):
                return
            record, data = data[len(length) + 1 : int(length)], data[int(length) :]
            keyword, _, value = record.rstrip(b"\n").partition(b"=")
            if keyword == b"path":
                self.name = _text(value)
            elif keyword == b"size" and value.isdigit():
                self.size = int(value[:20])
            self.sparse = self.sparse or keyword.startswith(b"GNU.sparse")


def _parse(block: bytes) -> _Header | None:
    """None for what is no header: too short, a wrong checksum, or numbers that are none."""
    if len(block) < BLOCK:
        return None
    size, checksum = _number(block[124:136]), _number(block[148:156])
    if size is None or checksum != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        return None
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345] != 0:
        name = f"{_text(block[345:500])}/{name}"
    return _Header(name, size, block[156:157])


def _number(field: bytes) -> int | None:
    if field[0] in (0x80, 0xFF):  # GNU: big-endian, two's complement
        value = int.from_bytes(field[1:], "big")
        return value if field[0] == 0x80 else value - (1 << 8 * (len(field) - 1))
    digits = field.strip(b" \0")
    if any(digit not in b"01234567" for digit in digits):
        return None
    return int(digits or b"0", 8)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _next_header(file: BinaryIO, position: int, end: int) -> int:
    """Where the next block lies that is a header with a magic and a valid checksum, or the end of the file."""
    file.seek(position)
    while chunk := file.read(BLOCK << 11):
        for start in range(0, len(chunk), BLOCK):
            if chunk[start + 257 : start + 262] == b"ustar" and _parse(chunk[start : start + BLOCK]):
                return position + start
        position += len(chunk)
    return end


@contextmanager
def unpacked(file: BinaryIO, limit: int = _UNPACKED_LIMIT) -> Iterator[tuple[BinaryIO, bool]]:
    """The tar itself, and whether it was compressed (gzip, bzip2, xz); then it is unpacked to a temporary file.

    Damaged compressed data, or more than `limit` bytes, end the tar early, which `scan` reports.
    """
    start = file.read(6)
    file.seek(0)
    openers: dict[bytes, Callable[[BinaryIO], Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    opener = openers.get(start[:2])
    if opener is None:
        yield file, False
        return
    with tempfile.TemporaryFile() as plain, opener(file) as packed:
        _copy(packed, plain, limit)
        plain.seek(0)
        yield plain, True


def _copy(packed: BinaryIO, plain: BinaryIO, limit: int) -> None:
    try:
        while (chunk := packed.read(1 << 20)) and plain.tell() < limit:
            plain.write(chunk)
    except (EOFError, zlib.error, lzma.LZMAError):
        return
    except OSError as error:  # gzip's and bz2's own, for damaged data; a disk's or a store's has a number
        if error.errno is not None:
            raise
