"""The top-level arrays of one large JSON object, an element at a time: memory is one element, not the file.

Written by hand because `json.load` takes several times the file's size in memory, and an element that is wrong must
be told with its offset.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

_CHUNK = 1 << 18
_ELEMENT_LIMIT = 1 << 24  # bytes
_SPACE = re.compile(r"[ \t\r\n]*")
_decoder = json.JSONDecoder()


class Element(NamedTuple):
    """`array`: the array's key; `offset`: where the element begins in the file, in bytes."""

    array: str
    offset: int
    value: Any


def stream(file: BinaryIO) -> Iterator[Element]:
    """The elements of every top-level array, from the start of the file. Raises ValueError with what is wrong where.

    Other top-level values are read over, and must not be larger than one element may be.
    """
    text = _Text(file, 0)
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    else:
        text = _Text(file, 3)
    text.expect("{")
    if text.peek() == "}":
        return
    while True:
        key = text.value()
        text.expect(":")
        if text.peek() == "[":
            yield from _elements(text, str(key))
        else:
            text.value()
        if text.expect(",}") == "}":
            return


def stream_from(file: BinaryIO, array: str, offset: int) -> Iterator[Element]:
    """The elements of one array from that at a known offset on."""
    file.seek(offset)
    return _rest(_Text(file, offset), array)


def _elements(text: _Text, array: str) -> Iterator[Element]:
    text.expect("[")
    if text.peek() == "]":
        text.expect("]")
        return
    yield from _rest(text, array)


def _rest(text: _Text, array: str) -> Iterator[Element]:
    while True:
        text.peek()
        offset = text.offset
        yield Element(array, offset, text.value())
        if text.expect(",]") == "]":
            return


class _Text:
    """A window on the file, one character a byte (Latin-1), so that positions are offsets; values are read as UTF-8."""

    def __init__(self, file: BinaryIO, offset: int) -> None:
        self._file = file
        self._start = offset  # of the window, in the file
        self._window = ""
        self._at = 0

    @property
    def offset(self) -> int:
        return self._start + self._at

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            match = _SPACE.match(self._window, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._more():
                return ""

    def expect(self, characters: str) -> str:
        found = self.peek()
        if not found or found not in characters:
            raise ValueError(f"not the expected JSON at byte {self.offset}: {found!r} where {characters!r} should be")
        self._at += 1
        return found

    def value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = _decoder.raw_decode(self._window, self._at)
                # A number at the end of the window may go on after it.
                if end < len(self._window) or not self._more():
                    break
            except json.JSONDecodeError as error:
                if len(self._window) - self._at > _ELEMENT_LIMIT or not self._more():
                    raise ValueError(f"broken JSON at byte {self._start + error.pos}: {error.msg}") from None
            except RecursionError:
                raise ValueError(f"JSON nested too deeply at byte {self.offset}") from None
        source = self._window[self._at : end]
        self._at = end
        return value if source.isascii() else json.loads(source.encode("latin-1").decode("utf-8", "surrogateescape"))

    def _more(self) -> bool:
        """Drop what is read, append the next chunk: as much again as is waiting, so that long values stay linear."""
        waiting = self._window[self._at :]
        chunk = self._file.read(max(_CHUNK, len(waiting)))
        self._start += self._at
        self._window, self._at = waiting + chunk.decode("latin-1"), 0
        return bool(chunk)
