"""What failed, remembered in `state/failed/` until it is made, so that `status` can name it; and stages that made
nothing of all their parts.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

from pipeline.run.target import Target, target_of_path
from pipeline.storage.base import Storage
from stages.stage import Stage


class NothingUsableError(Exception):
    """Every part of a stage is committed, and nothing came out of them. The command ends with exit code 1."""


@dataclass(frozen=True)
class Failure:
    stage: str
    target: Target
    error: str
    time: float = field(default=0.0, compare=False)  # seconds since 1970; 0: not known

    @property
    def where(self) -> str:
        return self.target.of(self.stage)


def _path(stage: str, target: Target) -> str:
    return f"state/failed/{stage}/{target.name}.json"


def remember(storage: Storage, failure: Failure) -> None:
    data = {"error": failure.error, "time": time.time()}
    storage.write(_path(failure.stage, failure.target), json.dumps(data).encode())


def forget(storage: Storage, stage: str, target: Target) -> None:
    storage.delete(_path(stage, target))


def failures(storage: Storage, stage: type[Stage]) -> dict[Target, Failure]:
    found: dict[Target, Failure] = {}
    for path in storage.list(f"state/failed/{stage.name}"):
        data = storage.read_or_none(path)
        if data is not None:
            target = target_of_path(stage, path)
            found[target] = Failure(stage.name, target, *_of(data))
    return found


def _of(data: bytes) -> tuple[str, float]:
    """The error, and when."""
    try:
        record = json.loads(data)
        return str(record["error"]), float(record.get("time", 0.0))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "why is not known any more: what was remembered of it is damaged", 0.0
