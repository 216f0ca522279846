"""One run at a time in a run folder. A lock whose owner is dead is taken over at once."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.storage.base import Storage
from pipeline.storage.local import LocalStorage
from pipeline.storage.processes import started_at
from pipeline.storage.retry import StoreError
from stages.stage import UserError

LOCK = "state/lock"
HEARTBEAT = 10.0  # seconds between heartbeats
STALE = 60.0  # an owner elsewhere is dead when its last heartbeat is older


class RunLock:
    """Context manager. Raises UserError when another live run has the folder."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.run_id = uuid.uuid4().hex[:12]
        self.lost = False
        self._stop = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="lock-heartbeat", daemon=True)

    def __enter__(self) -> RunLock:
        with _guarded(self.storage):
            owner = read_lock(self.storage)
            if owner and is_alive(owner):
                raise UserError(
                    f"{self.storage.root} is in use by another run (pid {owner.get('pid')} on {owner.get('host')}); "
                    "wait for it or stop it"
                )
            self._take()
        if not self.storage.local:
            time.sleep(0.2)  # two who follow a dead owner, without a guard: the later write wins, which the other sees
            if not holds(self.storage, self.run_id):
                raise UserError(f"{self.storage.root} was taken by another run at the same moment; wait for it")
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._beating.join()
        with _guarded(self.storage):
            if holds(self.storage, self.run_id):
                self.storage.delete(LOCK)

    def _take(self) -> None:
        if self.storage.exists(LOCK):  # a dead owner's, or damaged
            self._write()
            return
        with suppress(FileExistsError):  # somebody was quicker; who holds it is looked at again
            self.storage.create(LOCK, self._record())

    def _write(self) -> None:
        self.storage.write(LOCK, self._record(), durable=False)

    def _record(self) -> bytes:
        return json.dumps({"run_id": self.run_id, **_this_process(), "heartbeat": time.time()}).encode()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            try:
                with _guarded(self.storage):
                    if not holds(self.storage, self.run_id):
                        self.lost = True  # the workers see it too, before they commit
                        return
                    self._write()
            except (OSError, StoreError):
                continue  # a missed heartbeat; the next one comes in time or the lock goes stale


def read_lock(storage: Storage) -> dict[str, Any] | None:
    data = storage.read_or_none(LOCK)
    if not data:
        return None
    try:
        owner = json.loads(data)
        return {**owner, "heartbeat": float(owner.get("heartbeat", 0))}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None  # damaged: nobody's


def holds(storage: Storage, run_id: str) -> bool:
    owner = read_lock(storage)
    return owner is not None and owner.get("run_id") == run_id


def is_alive(owner: dict[str, Any]) -> bool:
    """On this machine: whether that very process still runs; elsewhere: whether it was heard of in the last minute."""
    here = _this_process()
    if owner.get("host") == here["host"] and owner.get("boot") == here["boot"]:
        return owner.get("started") is not None and started_at(owner.get("pid", -1)) == owner["started"]
    return time.time() - float(owner["heartbeat"]) < STALE


def _this_process() -> dict[str, Any]:
    """`boot` tells containers and reboots of one host apart: a pid means something in one pid namespace only."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    namespace = os.stat("/proc/self/ns/pid").st_ino
    pid = os.getpid()
    return {"host": socket.gethostname(), "boot": f"{boot}/{namespace}", "pid": pid, "started": started_at(pid)}


@contextmanager
def _guarded(storage: Storage) -> Iterator[None]:
    """Between looking at the lock and taking it, no other process of this file system does the same."""
    if not isinstance(storage, LocalStorage):
        yield
        return
    guard = Path(storage.root) / "state" / "lock.guard"
    guard.parent.mkdir(parents=True, exist_ok=True)
    with open(guard, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
