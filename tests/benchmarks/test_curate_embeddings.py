"""The benchmark of embeddings runs at a small size, and its truth and its planted copies are what it says."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import curate_embeddings
from benchmarks.curate_embeddings import earlier_neighbours, make, opened
from benchmarks.record import ROOT


def sizes(scratch: Path, count: int) -> argparse.Namespace:
    return argparse.Namespace(scratch=scratch, count=count, width=24, queries=150, least=0.9, seed=0)


def test_planted_vectors_are_near_an_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate_embeddings, "AT_ONCE", 300)
    given = sizes(tmp_path, 1000)
    make(given)
    rows, planted = opened(given).astype(np.float64), np.load(tmp_path / "planted.npy")
    assert rows.shape == (1000, 24) and np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=2e-3)
    copies = np.flatnonzero(planted >= 0)
    assert 120 < len(copies) < 280 and (planted[copies] < copies).all()
    assert not np.isin(planted[copies], copies).any() and (planted[copies] // 300 < copies // 300).any()
    cosines = (rows[copies] * rows[planted[copies]]).sum(1)
    assert 0.8 < cosines.min() < 0.92 and 0.93 < cosines.max() < 1.0


def test_the_truth_is_all_earlier_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate_embeddings, "AT_ONCE", 300)
    given = sizes(tmp_path, 1000)
    make(given)
    truth = earlier_neighbours(given)
    rows = opened(given).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = np.load(tmp_path / "queries.npy")
    later, earlier = np.nonzero(np.tril(rows @ rows.T >= 0.9, -1))
    wanted = {(i, j) for i, j in zip(later.tolist(), earlier.tolist(), strict=True) if i in set(queries.tolist())}
    assert truth == wanted and len(truth) > 5


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    small = {"count": 3000, "width": 32, "exact": 800, "queries": 200, "clusters": 16, "sample": 600, "threads": 1}
    command = [sys.executable, "-m", "benchmarks.curate_embeddings", f"--out={tmp_path / 'result.json'}"]
    subprocess.run([*command, *(f"--{name}={value}" for name, value in small.items())], cwd=ROOT, check=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert {name: result[name] for name in small} == small
    for side in ("curate_exact", "faiss_flat"):
        assert (result[side]["recall"], result[side]["precision"], result[side]["recall_of_planted"]) == (1, 1, 1)
    assert result["faiss_ivf"]["recall"] >= result["curate"]["recall"] > 0.9 and result["curate"]["precision"] == 1
    assert result["curate"]["planted"] > 100 and result["curate"]["seconds"] > 0
