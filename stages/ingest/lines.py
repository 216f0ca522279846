"""Lines of a text file, bounded in memory whatever the file holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple


class Line(NamedTuple):
    """`data`: with its line end, cut at the limit; `length`: bytes that it has in the file; empty at the end."""

    data: bytes
    length: int


class Lines:
    """From the file's position on. `back` returns lines that were read too far."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.limit = limit
        self._file = file
        self._ahead: deque[Line] = deque()

    def next(self) -> Line:
        if self._ahead:
            return self._ahead.popleft()
        data = self._file.readline(self.limit)
        length = len(data)
        if length == self.limit and not data.endswith(b"\n"):
            while more := self._file.readline(self.limit):
                length += len(more)
                if more.endswith(b"\n"):
                    break
        return Line(data, length)

    def back(self, lines: Iterable[Line]) -> None:
        self._ahead.extendleft(reversed(list(lines)))

    def cut(self, line: Line) -> bool:
        """Whether the line was longer than the limit."""
        return line.length > len(line.data)
