"""What is said of a training before it begins."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from model.network import GlipNetwork
from model.variants import get_variant
from schemas.config import Config
from stages.stage import UserError
from stages.train import forecast as module
from stages.train.forecast import PROBES, SHARE, counted_network, mean_input
from stages.train.stage import TrainStage, make_batches
from tests.stages.train.conftest import GOLD, RunDisk, small_training


def said(root: Path, config: Config) -> dict[str, str]:
    """By the first word of each line."""
    before = sorted(root.rglob("*"))
    lines = TrainStage(config).forecast(RunDisk(root))
    assert sorted(root.rglob("*")) == before
    return {line.split()[0]: " ".join(line.split()[1:]) for line in lines}


def test_samples_and_steps_are_those_of_the_training(sharded: Path) -> None:
    lines = said(sharded, small_training(gold=GOLD, epochs=4.0))
    assert lines["samples"] == "22 an epoch: pseudo 16, gold 0: scenes 6"
    assert lines["steps"] == "22 of 4 samples, 4.0 epochs"
    lines = said(sharded, small_training(gold=GOLD, steps=11, batch_size=5))
    assert lines["steps"] == "11 of 5 samples, 2.5 epochs"


def test_memory_is_that_of_a_workers_piece_at_the_largest_scale(sharded: Path) -> None:
    def parts(**changes: Any) -> tuple[float, float, str]:
        lines = said(sharded, small_training(batch_size=16, scales=(96, 192), **changes))
        found = re.fullmatch(
            r"about ([\d.]+) GB a worker: ([\d.]+) weights.*, ([\d.]+) for (.*) tokens", lines["memory"]
        )
        assert found is not None
        assert float(found[1]) == pytest.approx(float(found[2]) + float(found[3]), abs=0.11)
        return float(found[2]), float(found[3]), found[4]

    weights, whole, of = parts()
    assert of.startswith("16 images of 192 x 320 and ")
    pieces = parts(workers=2, accumulate=3)
    assert pieces[2].startswith("3 images of 192 x 320 and ") and pieces[0] == weights
    assert pieces[1] == pytest.approx(whole * 3 / 16, abs=0.06)
    assert parts(checkpointing=True)[1] < whole
    assert parts(long=224)[2].startswith("16 images of 192 x 224 and ")


def test_hours_are_the_work_over_a_share_of_the_peak(sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_training(steps=1000, workers=2)
    _, maker = make_batches(RunDisk(sharded), config)
    height, width, tokens, _ = mean_input(maker, 4)
    flops = 3 * counted_network(config.train).flops(height, width, tokens)
    monkeypatch.setattr(module, "peak_flops", lambda device, precision: 1e9)
    hours = 1000 * 4 * flops / (2 * 1e9 * SHARE) / 3600
    assert said(sharded, config)["hours"] == f"about {hours:,.1f} with 2 workers at 30% of the peak of this device"
    more = said(sharded, small_training(steps=1000, workers=2, checkpointing=True))["hours"]
    assert more.startswith(f"about {hours * 4 / 3:,.1f} ")


@pytest.mark.parametrize(
    ("there", "whose"), [(False, "an H100, as no GPU is here"), (True, "an H100, as that of this GPU is not known")]
)
def test_for_a_gpu_that_is_not_here_a_usual_one_stands(
    sharded: Path, monkeypatch: pytest.MonkeyPatch, there: bool, whose: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "NoName 9000")
    config = small_training(device="cuda", precision="bf16", steps=10**7)
    _, maker = make_batches(RunDisk(sharded), config)
    height, width, tokens, _ = mean_input(maker, 4)
    flops = 3 * counted_network(config.train).flops(height, width, tokens)
    hours = 4e7 * flops / (989e12 * 0.3) / 3600
    assert said(sharded, config)["hours"] == f"about {hours:,.1f} with 1 worker at 30% of the peak of {whose}"


def test_a_training_under_way_knows_its_rate(sharded: Path) -> None:
    (sharded / "student").mkdir()
    entries = [{"step": 50, "samples_per_second": 9.0}, {"step": 100, "samples_per_second": 4.0}]
    (sharded / "student/metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    assert said(sharded, small_training(steps=3700))["hours"] == "1.0 left at 4.0 samples/s, as measured"


def test_the_mean_input_is_that_of_the_first_steps(sharded: Path) -> None:
    _, maker = make_batches(RunDisk(sharded), small_training(scales=(96, 192)))
    height, width, tokens, longest = mean_input(maker, 4)
    padded = [maker.make(step).pad_to for step in range(PROBES)]
    assert 0 <= height - sum(h for h, _ in padded) / PROBES < 32
    assert 0 <= width - sum(w for _, w in padded) / PROBES < 32
    assert 2 < tokens <= longest < 256


def test_without_samples_it_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (line,) = TrainStage(small_training()).forecast(RunDisk(tmp_path))
    assert line.startswith("samples   none yet: train: there is nothing to train on")


def test_the_start_is_checked(sharded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tensors are counted, and what does not fit is an error before anything runs."""
    with torch.device("meta"):
        bert = GlipNetwork(get_variant("glip-nano")).language_backbone.body["model"]
    state = {f"bert.{key}": torch.zeros(value.shape) for key, value in bert.state_dict().items()}
    torch.save(state, tmp_path / "bert.pth")
    config = small_training(init={"text": str(tmp_path / "bert.pth")})
    assert said(sharded, config)["start"] == f"text: {len(state)} of {len(state)} tensors taken"
    torch.save({**state, "bert.embeddings.word_embeddings.weight": torch.zeros(3, 4)}, tmp_path / "bert.pth")
    with pytest.raises(UserError, match=r"^train.init.text: .*word_embeddings.weight is \(3, 4\)"):
        said(sharded, config)
