"""An attempt under way tells who works on what, and how far it is."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from toys import ToyPhrases

from pipeline.execution import heartbeat as module
from pipeline.execution.heartbeat import Heartbeat
from pipeline.run.target import part_target
from pipeline.run.task import Task, reference_of
from pipeline.storage.local import LocalStorage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_it_is_written_at_once_then_once_a_second_and_goes_at_the_end(tmp_path: Path, clock: list[float]) -> None:
    storage = LocalStorage(str(tmp_path))
    beat = Heartbeat(storage, Task(reference_of(ToyPhrases), part_target(3), "fingerprint"), "attempt-1")
    file = tmp_path / "state" / "attempts" / "attempt-1.json"

    def told() -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(file.read_text())
        return facts

    beat(1, 10, "begun")
    facts = told()
    assert (facts["stage"], facts["target"], facts["host"]) == ("phrases", part_target(3).name, socket.gethostname())
    assert (facts["done"], facts["total"], facts["message"]) == (1, 10, "begun")
    assert facts["started"] <= facts["heartbeat"]
    beat(2, 10, "too soon")
    assert told()["done"] == 1
    clock[0] += 1.0
    beat(3, 10, "")
    assert told()["done"] == 3
    beat.end()
    assert not file.exists()
    beat.end()  # twice does no harm
