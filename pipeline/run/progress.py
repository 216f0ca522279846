"""What a person sees of a run: bars on a terminal, plain lines elsewhere. Everything goes to stderr."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.run.failures import Failure
from pipeline.run.status import attempts
from pipeline.storage.base import Storage
from schemas.commit import CommitRecord

LINE_EVERY = 30.0  # seconds between two plain lines of one stage


@dataclass
class Tally:
    """One stage of this run, as far as it has come."""

    stage: str
    total: int  # parts
    done: int  # parts committed, before and now
    result: bool  # the stage makes one result now, out of all parts
    made: int = 0  # parts committed now
    pairs: int = 0  # in those
    rejected: int = 0
    failed: int = 0  # parts
    started: float = field(default_factory=time.monotonic)
    pairs_under_way: int = 0  # of the parts that workers are at
    step: tuple[int, int, str] = (0, 0, "")  # of a result: done, total, message
    count_began: tuple[float, int] | None = None  # when this count of steps was first seen, and where it stood then

    def add(self, record: CommitRecord) -> None:
        self.done += 1
        self.made += 1
        self.pairs_under_way = max(0, self.pairs_under_way - record.counts.in_)  # until the next look
        if not self.result:
            self.pairs += record.counts.in_
            self.rejected += record.counts.rejected

    def look(self, beats: list[dict[str, Any]]) -> None:
        mine = [beat for beat in beats if beat["stage"] == self.stage]
        self.pairs_under_way = sum(beat["done"] for beat in mine)
        if mine:
            step = (mine[0]["done"], mine[0]["total"], mine[0]["message"])
            if step[0] < self.step[0] or step[1] != self.step[1]:  # a new count: the crops are over, the steps begin
                self.count_began = (time.monotonic(), step[0])
            self.step = step

    @property
    def seconds(self) -> float:
        return max(time.monotonic() - self.started, 1e-6)

    @property
    def parts_done(self) -> float:
        """With the share of the parts under way, as far as it can be told."""
        if self.result:
            return self.step[0] / self.step[1] if self.step[1] and not self.made else self.done
        usual = self.pairs / self.made if self.made else 0
        return min(self.total, self.done + (self.pairs_under_way / usual if usual else 0))

    @property
    def time_left(self) -> str:
        if self.result:
            return self._steps_left()
        gone = self.parts_done - (self.done - self.made)
        left = self.total - self.parts_done - self.failed
        return clock(self.seconds / gone * left) if gone > 0 and left > 0 else ""

    def _steps_left(self) -> str:
        done, total, _ = self.step
        if self.count_began is None or done <= self.count_began[1] or done >= total:
            return ""
        began, first = self.count_began
        return clock((time.monotonic() - began) / (done - first) * (total - done))

    def text(self) -> str:
        if self.result:
            done, total, message = self.step
            return " ".join(filter(None, [f"{done:,}/{total:,}" if total else "", message]))
        pairs = self.pairs + self.pairs_under_way
        words = [f"{self.done:,}/{self.total:,} parts", f"{pairs:,} pairs", f"{pairs / self.seconds:,.0f}/s"]
        if self.rejected:
            words.append(f"{self.rejected:,} rejected")
        if self.failed:
            words.append(f"{self.failed:,} parts failed")
        return ", ".join(words)


class Display:
    """Plain lines: one now and then, and one at the end of each stage. `Bars` shows the same on a terminal.

    A thread of its own looks at the heartbeats in the run folder, so that it moves within a part, whoever makes it.
    """

    def __init__(self, storage: Storage, verbose: bool = False) -> None:
        self._storage = storage
        self._verbose = verbose
        self._every = 1.0 if storage.local else 10.0
        self._said = 0.0
        self._over = threading.Event()
        self._watcher: threading.Thread | None = None
        self.tally = Tally("", 0, 0, False)

    def line(self, text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()

    def begin(self, stage: str, total: int, done: int, result: bool = False) -> None:
        """A stage begins, with so many parts, of which some were committed before."""
        self.tally = Tally(stage, total, done, result)
        self._said = time.monotonic()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="progress", daemon=True)
        self._watcher.start()

    def committed(self, record: CommitRecord) -> None:
        self.tally.add(record)
        self.show()

    def failed(self, failure: Failure, trace: str) -> None:
        self.tally.failed += 1
        self.line(f"{failure.where} failed: {failure.error}")
        if self._verbose and trace:
            self.line(trace)

    def end(self) -> None:
        """The stage is over, well or not; may be called twice."""
        self._over.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
            self.tally.pairs_under_way = 0
            self.last()

    def show(self) -> None:
        if time.monotonic() - self._said > LINE_EVERY:
            self._said = time.monotonic()
            left = self.tally.time_left
            self.line(f"{self.tally.stage:9} {self.tally.text()}" + (f", {left} left" if left else ""))

    def last(self) -> None:
        tally = self.tally
        if tally.result and tally.made:
            self.line(f"{tally.stage:9} result made in {clock(tally.seconds)}")
        elif tally.made:
            self.line(f"{tally.stage:9} {tally.text()}")

    def _watch(self) -> None:
        while not self._over.wait(self._every):
            self.tally.look(attempts(self._storage))
            self.show()


class Bars(Display):
    """One bar per stage, for a terminal."""

    def __init__(self, storage: Storage, verbose: bool = False) -> None:
        super().__init__(storage, verbose)
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("{task.description:9}"), BarColumn(24), TextColumn("{task.fields[text]}"))
        self._bars = Progress(*columns, console=Console(stderr=True, highlight=False), refresh_per_second=4)
        self._bar: Any = None

    def line(self, text: str) -> None:
        self._bars.console.print(printable(text), markup=False, soft_wrap=True)

    def begin(self, stage: str, total: int, done: int, result: bool = False) -> None:
        self._bars.start()
        self._bar = self._bars.add_task(stage, total=total, completed=done, text="")
        super().begin(stage, total, done, result)

    def show(self) -> None:
        left = self.tally.time_left
        text = self.tally.text() + (f", {left} left" if left else "")
        self._bars.update(self._bar, completed=self.tally.parts_done, text=printable(text))

    def last(self) -> None:
        text = f"result made in {clock(self.tally.seconds)}" if self.tally.result else self.tally.text()
        self._bars.update(self._bar, completed=self.tally.done, text=text)
        self._bars.stop()
        self._bars.remove_task(self._bar)


def make_display(storage: Storage, verbose: bool) -> Display:
    return Bars(storage, verbose) if sys.stderr.isatty() else Display(storage, verbose)


def clock(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def printable(text: str) -> str:
    """Control characters of data and paths must not reach the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)
