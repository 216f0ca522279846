"""Two cells of the levers at their smallest: train, measure, compare."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from experiments.photos_levers.cells import Grid, cells_of
from experiments.photos_levers.runner import Runner
from experiments.photos_levers.summary import result_of
from experiments.runner import read
from model.glip import Glip
from recipes.glip_photos.prepare import main as prepare
from tests.photos import PHOTOS, few_photos

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PHOTOS.is_dir(), reason="no ../shared/data/photos")]


def test_the_smallest_levers_from_end_to_end(tmp_path: Path) -> None:
    shared, data = few_photos(tmp_path / "shared"), tmp_path / "data"
    prepare(["--shared", str(shared), "--out", str(data)])
    Glip.from_variant("glip-photos", seed=0).save(data / "start.safetensors")
    grid = Grid(steps=2, batch_size=2, dev_photos=4, shared=str(shared), data=str(data))
    cells = {cell.name: cell for cell in cells_of(grid)}
    some = [cells[name] for name in ("base", "negatives")]
    runner = Runner(tmp_path / "work", tmp_path / "results", None)
    assert all(runner.make(cell) for cell in some) and runner.pending(some) == []
    result = result_of([read(tmp_path / "results" / f"{cell.name}.json") for cell in some], dataclasses.asdict(grid))
    assert result["levers"]["base"]["samples_seen"] == result["levers"]["negatives"]["samples_seen"] == 4
    assert result["levers"]["negatives"]["gains"]["over"] == "base"
    assert 0.0 <= result["levers"]["base"]["recall_at_1"]["mean"] <= 100.0
