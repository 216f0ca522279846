"""The benchmark of a training step's memory: what is counted and what is measured are the same things."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.record import ROOT
from benchmarks.training_memory import GB, IMAGES, TOKENS, count
from model.variants import get_variant
from stages.train.memory import CountedNetwork

NAMES = ["plain", "checkpointing"]


def test_each_case_is_counted_for_one_image_a_batch_and_a_gpu() -> None:
    found = count("glip-nano", 96, 128)
    weights = found.pop("weights_gradients_optimiser_average_gb")
    network = CountedNetwork("glip-nano", get_variant("glip-nano").published, "bf16")
    assert weights == pytest.approx(network.weights_bytes(ema=True) / GB, abs=5e-4)
    assert list(found) == [str(tokens) for tokens in TOKENS]
    for rows in found.values():
        assert list(rows) == NAMES
        for row in rows.values():
            gpu = weights + IMAGES * row["of_an_image_gb"] + row["of_the_batch_gb"]
            assert row[f"gpu_with_{IMAGES}_gb"] == pytest.approx(gpu, abs=0.01)
        assert rows["checkpointing"]["of_an_image_gb"] < rows["plain"]["of_an_image_gb"]


@pytest.mark.slow
def test_a_real_step_keeps_what_was_counted_and_its_peak_is_above() -> None:
    command = [sys.executable, "-m", "benchmarks.training_memory", "--child", "glip-nano", "192", "256", "64", "0"]
    row = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    counted = count("glip-nano", 192, 256)["64"]["plain"]
    assert row["kept_gb"] == pytest.approx(counted["of_an_image_gb"] + counted["of_the_batch_gb"], abs=2e-3)
    assert row["peak_gb"] > row["kept_gb"]


PEAKS = """
import torch
from benchmarks.training_memory import memory, restart_peak
size = 256 << 20
torch.ones(size, dtype=torch.uint8)  # freed at once
before = restart_peak()
first = memory("VmHWM") - before
torch.ones(size, dtype=torch.uint8)
print(first / size, (memory("VmHWM") - before) / size)
"""


def test_the_peak_counts_from_where_it_is_restarted() -> None:
    """In a process of its own, where nothing else is freed meanwhile."""
    done = subprocess.run([sys.executable, "-c", PEAKS], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = map(float, done.stdout.split())
    assert first < 0.25 and second > 0.75
