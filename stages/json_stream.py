"""The top-level arrays of one large JSON object, an element at a time: memory is one element, not the file.

Written by hand because `json.load` takes several times the file's size in memory, and an element that is wrong must
be told with its offset.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, BinaryIO, NamedTuple

_CHUNK = 1 << 18
_ELEMENT_LIMIT = 1 << 24  # bytes
_SPACE = re.compile(r"[ \t\r\n]*")
_IN_NUMBER = re.compile(r"[-+.0-9eE]*")
_decoder = json.JSONDecoder()


class Element(NamedTuple):
    """`array`: the array's key; `offset`: where the element begins in the file, in bytes."""

    array: str
    offset: int
    value: Any


def stream(file: BinaryIO, keyed: Collection[str] = ()) -> Iterator[Element]:
    """The elements of every top-level array, from the start of the file; of a file that is one array itself, whose key
    is "". Raises ValueError with what is wrong where.

    `keyed`: top-level objects that count as arrays of their values, each called by its key (`{"annotations": {"1":
    {...}}}`). Other top-level values are read over, and must not be larger than one element may be.
    """
    for _, value in members(file, keyed):
        if isinstance(value, Iterator):
            yield from value


def members(file: BinaryIO, keyed: Collection[str] | None = (), strict: bool = False) -> Iterator[tuple[str, Any]]:
    """As `stream`, by top-level key: an iterator of the Elements of an array, to be used before the next key is asked
    for, or the value of what is none.

    `keyed`: None stands for every key. `strict`: bytes that are no UTF-8 are a ValueError; else they become surrogates.
    """
    text = _Text(file, 0, strict)
    if file.read(3) != b"\xef\xbb\xbf":
        file.seek(0)
    else:
        text = _Text(file, 3, strict)
    for key, value in _top_level(text, keyed):
        yield key, value
        if isinstance(value, Iterator):
            deque(value, maxlen=0)  # what of it was not used
    if text.peek():
        raise ValueError(f"the JSON ends before byte {text.offset}, where something else begins")


def _top_level(text: _Text, keyed: Collection[str] | None) -> Iterator[tuple[str, Any]]:
    if text.peek() == "[":
        yield "", _elements(text, "")
        return
    text.expect("{")
    if text.peek() == "}":
        text.expect("}")
        return
    while True:
        key = str(text.value())
        text.expect(":")
        if text.peek() == "[" or (text.peek() == "{" and (keyed is None or key in keyed)):
            yield key, _elements(text, key)
        else:
            yield key, text.value()
        if text.expect(",}") == "}":
            return


def stream_from(file: BinaryIO, array: str, offset: int) -> Iterator[Element]:
    """The elements of one array, or object, from that at a known offset on."""
    file.seek(offset)
    return _rest(_Text(file, offset), array)


def _elements(text: _Text, array: str) -> Iterator[Element]:
    closer = {"[": "]", "{": "}"}[text.expect("[{")]
    if text.peek() == closer:
        text.expect(closer)
        return
    yield from _rest(text, array)


def _rest(text: _Text, array: str) -> Iterator[Element]:
    """From the next element on. Whether it is an array or an object that they are of shows after the first of them."""
    closer = ""
    while True:
        text.peek()
        offset = text.offset
        value = text.value()
        closer = closer or ("}" if text.peek() == ":" else "]")
        if closer == "}":
            text.expect(":")
            value = _with_id(text.value(), value)
        yield Element(array, offset, value)
        if text.expect("," + closer) == closer:
            return


def _with_id(value: Any, key: Any) -> Any:
    """A value of an object, which is called by its key unless it says otherwise."""
    return {"id": key, **value} if isinstance(value, dict) else value


def _end_of_number(text: str, at: int) -> int:
    """Where the characters end, from `at` on, that a number may go on with."""
    match = _IN_NUMBER.match(text, at)
    return match.end() if match else at


class _Text:
    """A window on the file, one character a byte (Latin-1), so that positions are offsets; values are read as UTF-8."""

    def __init__(self, file: BinaryIO, offset: int, strict: bool = False) -> None:
        self._file = file
        self._errors = "strict" if strict else "surrogateescape"
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
                # A number at the end of the window may go on after it ("-0." of "-0.5e3" is read as -0 so far).
                if _end_of_number(self._window, end) < len(self._window) or not self._more():
                    break
            except json.JSONDecodeError as error:
                position = self._start + error.pos
                if len(self._window) - self._at > _ELEMENT_LIMIT or not self._more():
                    raise ValueError(f"broken JSON at byte {position}: {error.msg}") from None
            except RecursionError:
                raise ValueError(f"JSON nested too deeply at byte {self.offset}") from None
        source = self._window[self._at : end]
        self._at = end
        return value if source.isascii() else json.loads(source.encode("latin-1").decode("utf-8", self._errors))

    def _more(self) -> bool:
        """Drop what is read, append the next chunk: as much again as is waiting, so that long values stay linear."""
        waiting = self._window[self._at :]
        chunk = self._file.read(max(_CHUNK, len(waiting)))
        self._start += self._at
        self._window, self._at = waiting + chunk.decode("latin-1"), 0
        return bool(chunk)
