"""Handing one stage's tasks to Ray actors: a bounded window, and what to do when a worker dies or hangs.

Only names and counts travel. A task whose worker died is given to another; a task that killed three workers, or ran
into the deadline twice, is reported as failed and the others go on.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commits import read_record, record_path
from pipeline.storage import Storage
from pipeline.worker import Outcome, Task, load_class

if TYPE_CHECKING:
    from pipeline.ray_executor import RayExecutor

IN_FLIGHT = 2  # tasks given to one worker: one runs, the next one waits at its door
DEATHS = 3  # a task that killed so many workers is given up
TIMEOUTS = 2  # and so is one that ran into the deadline so often
TICK = 1.0  # seconds


@dataclass
class Slot:
    """The driver's side of one actor, which runs its tasks in the order given."""

    actor: Any
    log: Any  # reference to the path of its stderr, known once the process is up
    queue: deque[tuple[Any, Task]] = field(default_factory=deque)  # (reference, task)
    since: float | None = None  # when the first of the queue began to run; None: the process is not up yet

    def next(self) -> None:
        """The first task is settled; the second one runs now."""
        self.queue.popleft()
        self.since = time.monotonic()


class Dispatch:
    def __init__(self, crew: RayExecutor, storage: Storage, tasks: Iterable[Task], deadline: float) -> None:
        self._crew = crew
        self._storage = storage
        self._tasks = iter(tasks)
        self._again: deque[Task] = deque()
        self._deaths: Counter[int | None] = Counter()  # by part
        self._timeouts: Counter[int | None] = Counter()
        self._deadline = deadline
        self._limit = crew.limit()

    def outcomes(self) -> Iterator[Outcome]:
        """Every task's outcome, as it comes."""
        import ray

        self._fill()
        while busy := [slot for slot in self._crew.slots if slot.queue]:
            ready, _ = ray.wait([slot.queue[0][0] for slot in busy], timeout=TICK)
            for slot in busy:
                if slot.queue[0][0] in ready:
                    yield from self._collect(slot)
                elif self._is_overdue(slot):
                    yield from self._give_up_waiting(slot)
            self._fill()

    def _fill(self) -> None:
        """Gives out tasks until every worker has one running and one waiting."""
        while True:
            slot = min(self._crew.slots, key=lambda slot: len(slot.queue), default=None)
            hire = (slot is None or slot.queue) and len(self._crew.slots) < self._limit
            if not hire and slot is not None and len(slot.queue) >= IN_FLIGHT:
                return
            task = self._again.popleft() if self._again else next(self._tasks, None)
            if task is None:
                return
            if hire or slot is None:
                slot = self._crew.hire()
            if not slot.queue and slot.since is not None:
                slot.since = time.monotonic()
            slot.queue.append((slot.actor.run.remote(task), task))

    def _collect(self, slot: Slot) -> Iterator[Outcome]:
        import ray

        try:
            outcome: Outcome = ray.get(slot.queue[0][0])
        except ray.exceptions.RayError as error:
            yield from self._bury(slot, error)
            return
        slot.next()
        yield outcome

    def _bury(self, slot: Slot, error: Exception) -> Iterator[Outcome]:
        """A worker died over the first task of its queue that it had not committed; what waited is not to blame."""
        words = last_words(slot, error)
        while slot.queue and (record := self._committed(slot.queue[0][1])):
            yield Outcome(slot.queue.popleft()[1], record)  # it was done; only the news was lost with the worker
        guilty = slot.queue.popleft()[1] if slot.queue else None
        self._dismiss(slot)
        if guilty is None:
            return
        self._deaths[guilty.part] += 1
        if self._deaths[guilty.part] < DEATHS:
            self._again.append(guilty)
        else:
            yield Outcome(guilty, failure="part", error=f"killed its worker {DEATHS} times; last words: {words}")

    def _committed(self, task: Task) -> str | None:
        """The record of a task that is committed although nobody said so."""
        stage = load_class(task.stage).name
        if record_path(stage, task.part) in task.stale:
            return None  # it had a record before it began (`--force`), so that a record proves nothing
        record = read_record(self._storage, stage, task.part)
        return record.to_json() if record is not None and record.fingerprint == task.fingerprint else None

    def _is_overdue(self, slot: Slot) -> bool:
        """A process that still starts, or waits for a free machine, costs its task no time; a job has no deadline."""
        import ray

        if slot.queue[0][1].job:
            return False

        if slot.since is None and ray.wait([slot.log], timeout=0)[0]:
            slot.since = time.monotonic()
        return slot.since is not None and time.monotonic() - slot.since > self._deadline

    def _give_up_waiting(self, slot: Slot) -> Iterator[Outcome]:
        task = slot.queue.popleft()[1]
        self._dismiss(slot)
        self._timeouts[task.part] += 1
        if self._timeouts[task.part] < TIMEOUTS:
            self._again.append(task)
        else:
            text = f"not finished within the deadline of {self._deadline:g} s, {TIMEOUTS} times"
            yield Outcome(task, failure="part", error=text)

    def _dismiss(self, slot: Slot) -> None:
        """Lets an actor go and takes back the tasks that waited at its door."""
        self._again.extendleft(reversed([task for _, task in slot.queue]))
        self._crew.dismiss(slot)


def last_words(slot: Slot, error: Exception) -> str:
    """The end of the dead worker's stderr where it can be read here, and Ray's reason."""
    import ray

    reason = re.search(r"exit detail: (.+?\.)(?: |$)", str(error)) or re.search(r"(.+)", str(error))
    words = [reason[1].strip() if reason else type(error).__name__]
    try:
        path = Path(ray.get(slot.log, timeout=1))
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        words = [*lines[-3:], *words]
    except (ray.exceptions.RayError, OSError):
        pass
    return " | ".join(words)[:600]
