"""Event files are read by TensorBoard's own reader, and training needs no TensorBoard."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stages.train.events import event_file
from stages.train.stage import train
from tests.stages.train.conftest import RunDisk, scalars, small_training


def test_tensorboard_reads_what_we_write(tmp_path: Path) -> None:
    content = event_file([(1, 10.5, {"a/b": 1.5, "c": -2.0}), (300, 11.0, {"c": 1e-7}), (2**40, 12.0, {"c": 3.0})])
    assert content is not None
    (tmp_path / "events.out.tfevents.1").write_bytes(content)
    found = {tag: [(step, round(float(value), 9)) for step, value in rows] for tag, rows in scalars(tmp_path).items()}
    assert found == {"a/b": [(1, 1.5)], "c": [(1, -2.0), (300, 1e-7), (2**40, 3.0)]}


def test_without_tensorboard_a_training_has_its_metrics_alone(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as where it is not installed
    notes = train(RunDisk(sharded), small_training(steps=2))
    assert notes["event_files"] is False
    lines = (sharded / "student" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert not (sharded / "tensorboard").exists()
