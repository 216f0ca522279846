"""Checkpoints: what is kept, and that nothing in one is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from model.checkpoint import read_weights
from stages.train.checkpoint import checkpoints, load_checkpoint, save_checkpoint, save_weights
from tests.stages.train.conftest import RunDisk


def test_a_state_comes_back_and_the_newest_are_kept(tmp_path: Path) -> None:
    disk = RunDisk(tmp_path)
    for step in (5, 10, 200, 1000):
        save_checkpoint(disk, "student", step, {"step": step, "weights": {"w": torch.arange(step)}}, keep=2)
    (tmp_path / "student" / "weights.safetensors").write_bytes(b"of no checkpoint")
    assert checkpoints(disk, "student") == ["student/checkpoint-00000200.pt", "student/checkpoint-00001000.pt"]
    state = load_checkpoint(disk, "student/checkpoint-00000200.pt")
    assert state["step"] == 200 and torch.equal(state["weights"]["w"], torch.arange(200))


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"step": Payload()}, tmp_path / "checkpoint-00000001.pt")
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(RunDisk(tmp_path), "checkpoint-00000001.pt")
    assert not (tmp_path / "owned").exists()


def test_weights_are_written_as_teachers_read_them(tmp_path: Path) -> None:
    weights = {"a": torch.randn(3, 4).T, "b": torch.nn.Parameter(torch.randn(2))}  # not contiguous; with a gradient
    save_weights(RunDisk(tmp_path), "student/weights.safetensors", weights)
    found = read_weights(str(tmp_path / "student" / "weights.safetensors"))
    assert found.keys() == weights.keys() and all(torch.equal(found[name], weights[name]) for name in weights)
