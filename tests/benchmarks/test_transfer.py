"""The transfer benchmark at tiny size, and its task."""

from __future__ import annotations

import json
from concurrent.futures import Executor, Future
from io import BytesIO
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import transfer
from benchmarks.transfer_scenes import INK, NOUNS, PAPER, blueprint, draw, write_task
from stages.synthetic.nouns import BY_NAME


class Here(Executor):
    """Does what it is given at once, in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def test_the_nouns_are_held_out_and_scenes_are_what_they_were() -> None:
    assert {BY_NAME[name].tier for name in NOUNS} == {"unseen"}
    jpeg, (width, height), objects = draw("train", 5)
    assert draw("train", 5) == (jpeg, (width, height), objects) and draw("test", 5)[0] != jpeg
    with Image.open(BytesIO(jpeg)) as image:
        assert image.size == (width, height)
    seen = [entry for index in range(12) for entry in draw("valid", index)[2]]
    assert len(seen) >= 12 and {name for name, _ in seen} <= set(NOUNS)


def test_a_blueprint_turns_light_into_ink() -> None:
    pixels = np.array([[[255, 255, 255], [0, 0, 0]]], dtype=np.uint8)
    found = blueprint(pixels, np.zeros((1, 2, 1)))
    assert np.abs(found[0, 0].astype(int) - INK).max() <= 1 and np.abs(found[0, 1].astype(int) - PAPER).max() <= 1
    assert blueprint(pixels, np.full((1, 2, 1), 300.0)).min() == 255


@pytest.mark.slow
def test_a_benchmark_from_task_to_table_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "COUNTS", {"train": 8, "valid": 4, "test": 4})
    monkeypatch.setattr(transfer, "SHOTS", (1, 10, "all"))
    monkeypatch.setattr(transfer, "SEEDS", (3, 30))
    monkeypatch.setattr(transfer, "RATES", {"full": (1e-4, 1e-3), "prompt": (0.05, 0.1), "linear": (1e-3, 1e-2)})
    monkeypatch.setattr(transfer, "LENGTHS", (1,))
    monkeypatch.setattr(transfer, "SIDES", {"short": 64, "long": 96})
    bench = transfer.Bench(tmp_path)
    write_task(tmp_path / "task", transfer.COUNTS)
    result = transfer.measure_all(bench, Here())
    assert 0 <= result["zero_shot"] <= 100 and result["seeds"] == [3, 30]
    for method in ("full", "prompt", "linear"):
        assert set(result[method]) == {"1", "10", "all"} == set(result["seconds"][method])
        for shots, ap in result[method].items():
            assert ap == mean(result["by_seed"][method][shots])
        chosen = result["chosen"][method]
        assert len(chosen["grid"]) == 2 and chosen["epochs"] == 1
        best = max(entry["validation_ap"] for entry in chosen["grid"])
        assert chosen["lr"] in [entry["lr"] for entry in chosen["grid"] if entry["validation_ap"] == best]
    assert result["bytes"]["prompt"] < result["bytes"]["linear"] < result["bytes"]["full"]
    assert set(result["goals"].values()) <= {True, False} and len(result["goals"]) == 3
    assert result["images"]["all"]["val"] == [4, "all"]
    records = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/commits/*/*.json")}
    assert len(records) >= 3 * (2 + 6 - 1) and transfer.measure_all(bench, Here()) == result
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/commits/*/*.json")} == records
    assert json.loads(json.dumps(result)) == result
