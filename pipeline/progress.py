"""What a person sees of a run: bars on a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import json
import sys
import time
from typing import Protocol

from pipeline.storage import Storage
from schemas.commit import CommitRecord

LINE_EVERY = 30.0  # seconds between two plain lines of one stage


class Display(Protocol):
    def line(self, text: str) -> None: ...

    def begin(self, stage: str, total: int, done: int, result: bool = False) -> None:
        """A stage begins with so many parts, of which some were committed before."""
        ...

    def committed(self, record: CommitRecord) -> None: ...

    def failed(self, stage: str, part: str, why: str, trace: str) -> None: ...

    def tick(self, storage: Storage) -> None:
        """Called now and then while parts are under way."""
        ...

    def end(self, stage: str) -> None: ...


class Plain:
    """One line now and then, and one at the end of each stage."""

    def __init__(self, verbose: bool = False) -> None:
        self._verbose = verbose

    def line(self, text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def begin(self, stage: str, total: int, done: int, result: bool = False) -> None:
        self._total, self._done, self._made = total, done, 0
        self._pairs, self._rejected, self._failed = 0, 0, 0
        self._result = result
        self._start = self._said = time.monotonic()

    def committed(self, record: CommitRecord) -> None:
        self._done += 1
        self._made += 1
        self._pairs += 0 if self._result else record.counts.in_
        self._rejected += record.counts.rejected
        if time.monotonic() - self._said > LINE_EVERY:
            self._said = time.monotonic()
            self.line(self._state(record.stage))

    def failed(self, stage: str, part: str, why: str, trace: str) -> None:
        self._failed += 1
        self.line(f"{stage}, {part} failed: {why}")
        if self._verbose and trace:
            self.line(trace)

    def tick(self, storage: Storage) -> None:
        pass

    def end(self, stage: str) -> None:
        if self._made or self._failed:
            self.line(self._state(stage))

    def _state(self, stage: str) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        if self._result:
            return f"{stage:9} result made in {seconds:.0f} s" if self._made else f"{stage:9} no result"
        rate = self._pairs / seconds
        text = f"{stage:9} {self._done:,}/{self._total:,} parts, {self._pairs:,} pairs, {rate:,.0f}/s"
        left = self._total - self._done - self._failed
        if left and self._made:
            text += f", {seconds / self._made * left / 60:.0f} min left"
        if self._rejected:
            text += f", {self._rejected:,} rejected"
        return text + (f", {self._failed:,} parts failed" if self._failed else "")


def printable(text: str) -> str:
    """Control characters of data and paths must not reach the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)


def under_way(storage: Storage) -> list[dict[str, object]]:
    """The heartbeats of the attempts under way."""
    found = []
    for path in storage.list("state/attempts"):
        data = storage.read_or_none(path)
        if data:
            try:
                found.append(json.loads(data))
            except ValueError:
                continue
    return found
