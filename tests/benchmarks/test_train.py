"""benchmarks/train.py measures what it says: all sides of a ratio read the same samples."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.train import bare, batched, loader_figures, ours, train_figures, write_shards
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_storage
from schemas.config import Config


def test_both_sides_of_the_loader_read_the_same(tmp_path: Path) -> None:
    write_shards(tmp_path, 32)  # a whole window of batches
    files = RunFiles(open_storage(str(tmp_path)), [0], "bench", lambda *_: None)
    sides = 192, 320
    keys = sorted(example.key for example in ours(files, sides))
    assert keys == [f"{index:012d}" for index in range(32)]
    theirs = {record["key"]: image for image, record in bare(files, sides)}
    assert sorted(theirs) == keys
    for example in ours(files, sides):
        np.testing.assert_array_equal(example.image, theirs[example.key])
    config = Config.model_validate({"run": str(tmp_path), "train": {"batch_size": 4, "device": "cpu", "flip": 0.0}})
    batches = list(batched(files, config))
    assert sorted(example.key for example in batches) == keys
    assert all(example.image.shape == theirs[example.key].shape for example in batches)
    assert set(loader_figures(files, "glip-nano", 1)) == {"decoded", "resized", "batched"}


def test_a_training_is_measured_after_its_warm_up(tmp_path: Path) -> None:
    write_shards(tmp_path, 6)
    files = RunFiles(open_storage(str(tmp_path)), [0], "bench", lambda *_: None)
    options = argparse.Namespace(
        **{"variant": "glip-nano", "device": "cpu", "precision": "fp32", "batch_size": 2, "warm_up": 1, "steps": 1},
        **{"loaders": 1, "threads": 1, "checkpointing": False},
    )
    figures = train_figures(files, options)
    assert figures["samples_per_second"] > 0 and 0 <= figures["data_wait_share"] < 1 and figures["mfu"] > 0
