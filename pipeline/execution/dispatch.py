"""Handing one stage's tasks to Ray actors: a bounded window, and what to do when a worker dies or hangs.

Only names and counts travel. A task whose worker died is given to another; a task that killed three workers, or stood
still for the deadline twice, is reported as failed and the others go on.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipeline.execution.machine import Machine, unlike, versions
from pipeline.run.commits import read_record, record_path
from pipeline.run.status import heartbeats
from pipeline.run.target import Target
from pipeline.run.task import Outcome, Task, load_class
from pipeline.storage.base import Storage
from stages.stage import UserError

IN_FLIGHT = 2  # tasks given to one worker: one runs, the next one waits at its door
DEATHS = 3  # a task that killed so many workers is given up
LOSSES = 10  # and one that lost so many, be it to the machine or to a neighbour
TIMEOUTS = 2  # and one that stood still so often
TICK = 1.0  # seconds
PATIENCE = 30.0  # seconds that tasks wait for a worker to start while another one has nothing to do
OOM_VICTIM = re.compile(r"Selected to kill: \(Actor\((\w+)\).*?actual memory used=([\d.]+)GB")


@dataclass
class Slot:
    """The driver's side of one actor, which runs its tasks in the order given."""

    actor: Any
    hello: Any  # reference to the `Machine` that it runs on, known once the process is up
    queue: deque[tuple[Any, Task]] = field(default_factory=deque)  # (reference, task)
    requested_at: float = field(default_factory=time.monotonic)
    since: float | None = None  # when the first of the queue was last seen to move; None: the process is not up yet
    done: int = 0  # how far it was then

    def next(self) -> None:
        """The first task is settled; the second one runs now."""
        self.queue.popleft()
        self.moved(0)

    def moved(self, done: int) -> None:
        self.since, self.done = time.monotonic(), done

    def handshake(self) -> None:
        """Sees whether the process is up: what waits for a free machine, or starts, costs its tasks no time.

        Raises UserError where its machine lacks something.
        """
        import ray

        if self.since is not None or not ray.wait([self.hello], timeout=0)[0]:
            return
        self.moved(0)
        with suppress(ray.exceptions.RayError):  # it died; its first task says so, too
            machine: Machine = ray.get(self.hello)
            if wrong := unlike(versions(), machine.versions):
                raise UserError(f"{machine.host}: {'; '.join(wrong)}; install there what this machine has")


class WorkerPool(Protocol):
    """The actors that tasks are given to."""

    slots: list[Slot]

    def limit(self) -> int:
        """How many workers there may be now."""
        ...

    def start_worker(self) -> Slot: ...

    def stop_worker(self, slot: Slot) -> None: ...


class Dispatch:
    def __init__(self, pool: WorkerPool, storage: Storage, tasks: Iterable[Task], deadline: float) -> None:
        self._pool = pool
        self._storage = storage
        self._tasks = iter(tasks)
        self._again: deque[Task] = deque()
        self._deaths: Counter[Target] = Counter()
        self._losses: Counter[Target] = Counter()
        self._timeouts: Counter[Target] = Counter()
        self._deadline = deadline

    def outcomes(self) -> Iterator[Outcome]:
        """Every task's outcome, as it comes."""
        import ray

        self._fill()
        while busy := [slot for slot in self._pool.slots if slot.queue]:
            ready, _ = ray.wait([slot.queue[0][0] for slot in busy], timeout=TICK)
            for slot in busy:
                slot.handshake()
                if slot.queue[0][0] in ready:
                    yield from self._collect(slot)
                elif self._is_overdue(slot):
                    yield from self._give_up_waiting(slot)
            self._take_back()
            self._fill()

    def _fill(self) -> None:
        """Gives out tasks until every worker has one running and one waiting; machines that joined get workers."""
        limit = self._pool.limit()
        while True:
            slot = min(self._pool.slots, key=lambda slot: (len(slot.queue), slot.since is None), default=None)
            start_worker = (slot is None or slot.queue) and len(self._pool.slots) < limit
            if not start_worker and slot is not None and len(slot.queue) >= IN_FLIGHT:
                return
            task = self._again.popleft() if self._again else next(self._tasks, None)
            if task is None:
                return
            if start_worker or slot is None:
                slot = self._pool.start_worker()
            if not slot.queue and slot.since is not None:
                slot.moved(0)
            slot.queue.append((slot.actor.run.remote(task), task))

    def _take_back(self) -> None:
        """Where a worker has nothing to do, nothing waits for one that may never start: its machine may be gone."""
        if not any(slot.since is not None and not slot.queue for slot in self._pool.slots):
            return
        for slot in list(self._pool.slots):
            if slot.queue and slot.since is None and time.monotonic() - slot.requested_at > PATIENCE:
                self._stop_worker(slot)

    def _collect(self, slot: Slot) -> Iterator[Outcome]:
        import ray

        try:
            outcome: Outcome = ray.get(slot.queue[0][0])
        except ray.exceptions.RayError as error:
            yield from self._handle_worker_failure(slot, error)
            return
        slot.next()
        yield outcome

    def _handle_worker_failure(self, slot: Slot, error: Exception) -> Iterator[Outcome]:
        """A worker died over the first task of its queue that it had not committed; what waited is not to blame.

        Raises UserError for one that never came to life: no other would.
        """
        if reason := cannot_start(error):
            raise UserError(f"a worker cannot start: {reason}")
        tail = stderr_tail(slot, error)
        while slot.queue and (record := self._committed(slot.queue[0][1])):
            yield Outcome(slot.queue.popleft()[1], record)  # it is committed; only the message was lost with the worker
        lost = slot.queue.popleft()[1] if slot.queue else None
        self._stop_worker(slot)
        if lost is None:
            return
        self._forget_heartbeat(lost)
        self._losses[lost.target] += 1
        self._deaths[lost.target] += is_to_blame(slot, error)
        if self._deaths[lost.target] < DEATHS and self._losses[lost.target] < LOSSES:
            self._again.append(lost)
            return
        deaths = self._deaths[lost.target]
        what = f"killed its worker {deaths} times" if deaths == DEATHS else f"lost its worker {LOSSES} times"
        yield Outcome(lost, failure="part", error=f"{what}; its last output: {tail}")

    def _committed(self, task: Task) -> str | None:
        """The record of a task that is committed although nobody said so."""
        stage = load_class(task.stage).name
        if record_path(stage, task.target) in task.stale:
            return None  # it had a record before it began (`--force`), so that a record proves nothing
        record = read_record(self._storage, stage, task.target)
        return record.to_json() if record is not None and record.fingerprint == task.fingerprint else None

    def _is_overdue(self, slot: Slot) -> bool:
        """Whether the first task has stood still for the deadline; a part that is slow but moves is left alone, and so
        is a job."""
        if (
            slot.queue[0][1].target.kind == "job"
            or slot.since is None
            or time.monotonic() - slot.since <= self._deadline
        ):
            return False
        done = max((beat["done"] for _, beat in self._heartbeats(slot.queue[0][1])), default=0)
        if done != slot.done:
            slot.moved(done)
            return False
        return True

    def _heartbeats(self, task: Task) -> list[tuple[str, dict[str, Any]]]:
        """Path and facts of the attempts at a task."""
        stage = load_class(task.stage).name
        found = heartbeats(self._storage)
        return [(path, beat) for path, beat in found if (beat["stage"], beat["target"]) == (stage, task.target.name)]

    def _forget_heartbeat(self, task: Task) -> None:
        """Of an attempt that was cut off: nobody is at it any more."""
        for path, _ in self._heartbeats(task):
            self._storage.delete(path)

    def _give_up_waiting(self, slot: Slot) -> Iterator[Outcome]:
        task = slot.queue.popleft()[1]
        self._stop_worker(slot)
        self._forget_heartbeat(task)
        self._timeouts[task.target] += 1
        if self._timeouts[task.target] < TIMEOUTS:
            self._again.append(task)
        else:
            text = f"no progress within the deadline of {self._deadline:g} s, {TIMEOUTS} times"
            yield Outcome(task, failure="part", error=text)

    def _stop_worker(self, slot: Slot) -> None:
        """Lets an actor go and takes back the tasks that waited at its door."""
        self._again.extendleft(reversed([task for _, task in slot.queue]))
        self._pool.stop_worker(slot)


def cannot_start(error: Exception) -> str:
    """Why no worker can be made, in one line; empty for any other error."""
    text = str(error)
    if "raised in its creation task" not in text and type(error).__name__ != "RuntimeEnvSetupError":
        return ""
    said = [line.strip() for line in text.splitlines() if re.match(r"\s*[\w.]*(Error|Exception)\b", line)]
    return (said or [text])[-1][:500]


def is_to_blame(slot: Slot, error: Exception) -> bool:
    """Whether the task may be what killed its worker.

    Not where its machine was lost, or where Ray ended several workers for want of memory and another one had more.
    """
    text = str(error)
    if type(error).__name__ == "ActorUnavailableError" or "node has died" in text:
        return False
    held = {name: float(size) for name, size in OOM_VICTIM.findall(text)}
    mine = held.get(slot.actor._actor_id.hex())
    return mine is None or mine == max(held.values())


def stderr_tail(slot: Slot, error: Exception) -> str:
    """The end of the dead worker's stderr where it can be read here, and Ray's reason."""
    import ray

    reason = re.search(r"exit detail: (.+?\.)(?: |$)", str(error)) or re.search(r"(.+)", str(error))
    words = [reason[1].strip() if reason else type(error).__name__]
    try:
        path = Path(ray.get(slot.hello, timeout=1).log)
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        words = [*lines[-3:], *words]
    except (ray.exceptions.RayError, OSError):
        pass
    return " | ".join(words)[:600]
