"""Training with two ranks has the losses of one at the same global batch, inline and on Ray; a rank that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from model.glip import Glip
from pipeline.execution.inline import InlineExecutor
from pipeline.run.progress import make_display
from pipeline.run.runner import Report, Runner, Selection
from pipeline.run.task import Executor
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.train.stage import TrainStage

Weights = dict[str, np.ndarray[Any, Any]]

# Landscape and portrait images, seven in an epoch: batches of 3 split unevenly, and shares see unlike padding.
GOLD = [{"source": "scenes", "split": "gold", "count": 7, "seed": 3, "detection": 0.3}]
TRAINING = {
    **{"pseudo": False, "gold": GOLD, "device": "cpu", "threads": 1, "loaders": 1, "lr": 1e-4, "text_lr": 1e-4},
    **{"steps": 2, "batch_size": 3, "log_every": 1, "checkpoint_every": 1, "warmup": 0, "negative_categories": 5},
}


def train(run: Path, executor: Executor, **changes: Any) -> Report:
    config = Config.model_validate(
        {"run": str(run), "train": {**TRAINING, **changes}, "label": {"device": "cpu", "short": 192, "long": 320}}
    )
    storage = open_storage(str(run))
    runner = Runner(storage, config, [TrainStage], executor, make_display(storage, False))
    return runner.run(Selection([TrainStage]))


def losses(run: Path) -> np.ndarray[Any, Any]:
    """(steps, terms) of metrics.jsonl."""
    lines = [json.loads(line) for line in (run / "student" / "metrics.jsonl").read_text().splitlines()]
    return np.array([[entry[name] for name in sorted(entry) if name.startswith("loss")] for entry in lines])


def apart(left: Weights, right: Weights) -> float:
    """The distance of two models, weight by weight."""
    return float(np.sqrt(sum(np.square(left[name] - right[name]).sum() for name in left)))


@pytest.mark.slow
def test_two_ranks_have_the_losses_of_one_inline_and_on_ray(tmp_path: Path, ray_of: Callable[..., Any]) -> None:
    runs = {"one": tmp_path / "one", "two": tmp_path / "two", "ray": tmp_path / "ray"}
    reports = {
        "one": train(runs["one"], InlineExecutor()),
        "two": train(runs["two"], InlineExecutor(), workers=2),
        "ray": train(runs["ray"], ray_of(workers=2), workers=2),
    }
    assert all(report.made == {"train": 1} and not report.failed for report in reports.values())
    expected = losses(runs["one"])
    assert expected.shape == (2, 4)
    for name in ("two", "ray"):
        np.testing.assert_allclose(losses(runs[name]), expected, rtol=2e-3)
    one, two, ray = (load_file(run / "student" / "weights.safetensors") for run in runs.values())
    assert all(np.array_equal(two[name], ray[name]) for name in two)  # the same ranks, wherever they run
    start = Glip.from_variant("glip-nano", 0).state_dict()
    assert apart(one, two) < 0.03 * apart(one, {name: value.numpy() for name, value in start.items()})
    assert not list((runs["ray"] / "state" / "ranks").rglob("*.json"))
    record = json.loads((runs["two"] / "commits" / "train" / "part-0000000.json").read_text())
    assert record["notes"]["samples_seen"] == 6 and record["notes"]["sets"] == {"gold 0: scenes": 7}
    assert train(runs["two"], InlineExecutor()).made == {}  # the number of ranks is no reason to train again


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "ray"])
def test_a_rank_that_fails_ends_the_job_with_its_own_words(
    tmp_path: Path, ray_of: Callable[..., Any], executor: str
) -> None:
    report = train(tmp_path, ray_of(workers=2) if executor == "ray" else InlineExecutor(), workers=2, gold=[])
    (failure,) = report.failed
    assert "nothing to train on" in failure.error and "Traceback" not in failure.error
    assert not (tmp_path / "commits" / "train").exists() and not (tmp_path / "student").exists()
