"""Heartbeats of attempts under way, in the run folder, for displays, `status` and the detection of hung workers."""

from __future__ import annotations

import json
import socket
import time

from pipeline.run.task import Task, load_class
from pipeline.storage.base import Storage


class Heartbeat:
    """`state/attempts/<attempt>.json`: who works on what since when, and how far it is; for displays and `status`."""

    def __init__(self, storage: Storage, task: Task, attempt: str) -> None:
        self._storage = storage
        self._path = f"state/attempts/{attempt}.json"
        self._every = 1.0 if storage.local else 15.0
        self._next = 0.0
        self._facts = {
            "stage": load_class(task.stage).name,
            "target": task.target.name,
            "host": socket.gethostname(),
            "started": time.time(),
        }

    def __call__(self, done: int, total: int, message: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        facts = {**self._facts, "done": done, "total": total, "message": message, "heartbeat": time.time()}
        self._storage.write(self._path, json.dumps(facts).encode(), durable=False)

    def end(self) -> None:
        self._storage.delete(self._path)
