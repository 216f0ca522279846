"""The benchmark of rescoring runs on a tiny checkpoint, and both sides of it give the same vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import rescore
from benchmarks.record import ROOT
from model.similarity.network import Similarity
from tests.similarity_models import processor_of, save_checkpoint


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    checkpoint = save_checkpoint("siglip2", tmp_path / "model")
    command = [sys.executable, "-m", "benchmarks.rescore", "--families", "siglip2", "--rounds", "1", "--batch", "2"]
    command += ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "result.json")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["batch"], result["rounds"], list(result["families"])) == (2, 1, ["siglip2"])
    assert result["command"] == f"python -m benchmarks.rescore {' '.join(command[3:-2])}"
    rates = result["families"]["siglip2"]
    for name in ("crops_per_second", "library_crops_per_second", "texts_per_second"):
        assert rates[f"{name}_range"][0] <= rates[name] <= rates[f"{name}_range"][1]


@pytest.mark.parametrize("family", ["siglip", "siglip2"])  # CLIP's processor cuts, and so sees other pixels
def test_both_sides_compute_the_same(family: str, tmp_path: Path) -> None:
    model = Similarity(save_checkpoint(family, tmp_path), batch_size=4)
    crops = [rescore.drawn(number) for number in range(4)]
    assert (rescore.ours(model, crops) - rescore.library(model, processor_of(family), crops)).abs().max() < 1e-5
