"""The last words of a run about an evaluation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pipeline.run.summary import summary


def test_an_evaluation_is_said_with_its_figures_and_with_what_failed() -> None:
    found = {"teacher": {"AP": 41.25, "precision": 0.9126}, "student": {"AP": 7.0, "images failed": 1200}}
    stage = SimpleNamespace(name="evaluate", kind="job")
    record = SimpleNamespace(notes=found, counts=SimpleNamespace(rejected=0))
    state: Any = SimpleNamespace(stages=[stage], records=lambda _: {0: record}, storage=SimpleNamespace(root="run"))
    assert summary(state)[1:] == [
        "teacher    AP 41.2, precision 0.913",
        "student    AP 7.0, 1,200 images failed",
    ]
