"""Parts that failed, remembered in `state/failed/` until they are made, so that `status` can name them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from pipeline.run.commits import RESULT, part_of_path
from pipeline.storage.base import Storage


@dataclass(frozen=True)
class Failure:
    stage: str
    part: int | None
    error: str

    @property
    def where(self) -> str:
        """`label, part 7`; a merged result or a job goes by the stage's name."""
        return self.stage if self.part is None else f"{self.stage}, part {self.part}"


def _path(stage: str, part: int | None) -> str:
    return f"state/failed/{stage}/{RESULT}.json" if part is None else f"state/failed/{stage}/part-{part:07d}.json"


def remember(storage: Storage, failure: Failure) -> None:
    data = {"error": failure.error, "time": time.time()}
    storage.write(_path(failure.stage, failure.part), json.dumps(data).encode())


def forget(storage: Storage, stage: str, part: int | None) -> None:
    storage.delete(_path(stage, part))


def failures(storage: Storage, stage: str) -> dict[int | None, Failure]:
    found: dict[int | None, Failure] = {}
    for path in storage.list(f"state/failed/{stage}"):
        data = storage.read_or_none(path)
        if data is not None:
            part = part_of_path(path)
            found[part] = Failure(stage, part, _error_of(data))
    return found


def _error_of(data: bytes) -> str:
    try:
        return str(json.loads(data)["error"])
    except (ValueError, KeyError, TypeError):
        return "why is not known any more: what was remembered of it is damaged"
