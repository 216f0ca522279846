"""What a training writes of itself: read by TensorBoard's own reader, counted by torch's own counter."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model.glip import Glip
from stages.train import loop, metrics
from stages.train.loader import Batch, prefetch
from stages.train.loop import Trainer
from stages.train.stage import train
from tests.stages.train.conftest import RunDisk, scalars, small_training

LOGGED = {
    *(
        "step",
        "samples_seen",
        "skipped_share",
        "batches_left_out",
        "samples_per_second",
        "data_wait_share",
        "memory_bytes",
        "mfu",
        "lr",
        "text_lr",
    ),
    *("loss", "loss_dot_product_token", "loss_reg", "loss_centerness", "loss_contrastive", "gradient_norm"),
}


def test_a_training_logs_the_same_figures_in_both_forms_and_goes_on_after_a_kill(sharded: Path) -> None:
    config = small_training(contrastive=0.1)
    with pytest.raises(KeyboardInterrupt):  # checkpoint 2 and its log are there, steps 3 and 4 were done for nothing
        train(RunDisk(sharded, fail_before="student/weights.safetensors"), config)
    (sharded / "tensorboard" / "events.out.tfevents.0000000009.phrasebox").write_bytes(b"of another training")
    train(RunDisk(sharded), config)
    entries = [json.loads(line) for line in (sharded / "student" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4] and all(entry.keys() == LOGGED for entry in entries)
    found = scalars(sharded / "tensorboard")
    assert found.keys() == {f"train/{name}" for name in LOGGED - {"step"}}
    for name in LOGGED - {"step"}:
        expected = [(entry["step"], pytest.approx(entry[name], rel=1e-6)) for entry in entries]
        assert found[f"train/{name}"] == expected
    for entry in entries:
        terms = sum(value for name, value in entry.items() if name.startswith("loss_"))
        assert entry["loss"] == pytest.approx(terms, rel=1e-5)
        assert 0 < entry["mfu"] < 1.2 and 0 <= entry["data_wait_share"] <= 1
    assert [entry["lr"] for entry in entries] == [
        pytest.approx(1e-3 * factor)
        for factor in (0.001, 1.0, *(0.5 + 0.5 * math.cos(math.pi * i / 3) for i in (1, 2)))
    ]


class Attic(RunDisk):
    """What is deleted moves to attic/."""

    def delete(self, path: str) -> None:
        (self.root / "attic").mkdir(exist_ok=True)
        (self.root / path).rename(self.root / "attic" / Path(path).name)


def test_the_last_checkpoints_and_the_best_weights_are_kept(sharded: Path) -> None:
    config = small_training(steps=5, checkpoint_every=1, keep_checkpoints=2, ema=0.0)
    train(Attic(sharded), config)
    student = sharded / "student"
    assert {path.name for path in student.iterdir()} == {
        *("checkpoint-00000003.pt", "checkpoint-00000004.pt"),
        *("best.safetensors", "weights.safetensors", "metrics.jsonl"),
    }
    losses = [json.loads(line)["loss"] for line in (student / "metrics.jsonl").read_text().splitlines()]
    best = losses.index(min(losses)) + 1
    kept = load_file(student / "best.safetensors")
    if best == 5:
        source = load_file(student / "weights.safetensors")
    else:
        (file,) = sharded.rglob(f"checkpoint-{best:08d}.pt")
        state = torch.load(file, weights_only=True)["student"]
        source = {name.removeprefix("glip."): value for name, value in state.items()}
    assert all(torch.equal(kept[name], source[name]) for name in kept)
    Glip.from_file("glip-nano", student / "best.safetensors")  # a teacher as it is


def test_the_clock_counts_steps_and_the_share_of_waiting(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes only where a batch is waited for, 3 s each, and where a batch is trained on, 1 s each."""
    now = [100.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])

    def slow_batches(*given: Any) -> Iterator[Batch]:
        for batch in prefetch(*given):
            now[0] += 3.0
            yield batch

    step = Trainer._train_step

    def slow_step(self: Trainer, batch: Batch) -> dict[str, float]:
        now[0] += 1.0
        return step(self, batch)

    monkeypatch.setattr(loop, "prefetch", slow_batches)
    monkeypatch.setattr(Trainer, "_train_step", slow_step)
    disk = RunDisk(sharded)
    train(disk, small_training(steps=4, log_every=2))
    entries = [json.loads(line) for line in (sharded / "student" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["samples_per_second"] for entry in entries] == [1.0, 1.0]  # two batches of 4 in 8 s
    assert [entry["data_wait_share"] for entry in entries] == [0.75, 0.75]
    said = [
        (done, total, f"loss {entry['loss']:.3f}, 1.0 samples/s")
        for done, total, entry in zip((2, 4), (4, 4), entries, strict=True)
    ]
    assert disk.messages == said
