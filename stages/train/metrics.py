"""What a training tells of itself: `metrics.jsonl`, TensorBoard's event files, and the figures in both."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stages.stage import RunIO
from stages.train.events import event_file

FILE = "metrics.jsonl"
EVENTS = "tensorboard"  # beside the student's folder, not in it: event files hold times, and prove nothing

Entry = dict[str, float | None]


class Clock:
    """Time since the last log: how much of it went into waiting for batches, and how many steps it holds."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.waited = 0.0
        self.steps = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        before = time.monotonic()
        yield
        self.waited += time.monotonic() - before

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


class Metrics:
    """The log of a training, written at each checkpoint and at the end. Event files need TensorBoard: see events.py."""

    def __init__(self, io: RunIO, folder: str) -> None:
        self.io, self.folder = io, folder
        self.entries: list[Entry] = []
        self.event_files = True  # whether there are any, which takes TensorBoard
        self._times: list[tuple[int, float]] = []  # (index of the entry, seconds since 1970), not yet in a file

    def add(self, entry: Entry) -> None:
        """Raises ValueError for a number that JSON has no word for; what is unknown is None."""
        for name, value in entry.items():
            if value is not None and not math.isfinite(value):
                raise ValueError(f"metric {name} at step {entry['step']} is {value}")
        self._times.append((len(self.entries), time.time()))
        self.entries.append(entry)

    def resume(self, step: int, entries: list[Entry]) -> None:
        """Goes on from a checkpoint: files of events that come after it, or of another training, are taken away."""
        self.entries = list(entries)
        for path in self.io.files(EVENTS):
            if path > event_path(step):
                self.io.delete(path)

    def write(self, step: int) -> None:
        lines = "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in self.entries)
        with self.io.create(f"{self.folder}/{FILE}") as stream:
            stream.write(lines.encode())
        events = [(number(self.entries[i]["step"]), seconds, scalars(self.entries[i])) for i, seconds in self._times]
        self._times = []
        if not events:
            return
        content = event_file(events)
        self.event_files = content is not None
        if content is not None:
            with self.io.create(event_path(step)) as stream:
                stream.write(content)


def scalars(entry: Entry) -> dict[str, float]:
    """What TensorBoard draws over the steps."""
    return {f"train/{name}": value for name, value in entry.items() if name != "step" and value is not None}


def number(step: float | None) -> int:
    return int(step or 0)


def event_path(step: int) -> str:
    """Names sort by step, which is how TensorBoard reads them."""
    return f"{EVENTS}/events.out.tfevents.{step:010d}.phrasebox"


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def peak_memory(device: torch.device) -> int:
    """Bytes: of the device, or of this process where there is none."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
