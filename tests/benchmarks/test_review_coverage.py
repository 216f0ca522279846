"""benchmarks/review_coverage.py counts hits rightly, and its record keeps the promise of 93 to 97%."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.record import ROOT
from benchmarks.review_coverage import DRAWS, THRESHOLDS, bootstrap, draw_from, make_corpus, measure, wald
from stages.review.estimate import Stratum, share


def test_intervals_of_some_corpora_hold_the_truth() -> None:
    table = measure(80, seed=3)
    assert set(table) == {*DRAWS, "wald", "bootstrap"}
    for where in ("precision", "recall"):
        assert 0.89 <= table["wilson"][where]["coverage"] <= 0.99
    assert table["wald"]["precision"]["coverage"] < table["wilson"]["precision"]["coverage"]
    assert table["wilson"]["recall"]["intervals"] == 80
    per_threshold = [table["wilson"].get(f"precision above {t:g}", {"intervals": 0})["intervals"] for t in THRESHOLDS]
    assert sum(per_threshold) == table["wilson"]["precision"]["intervals"] > 400


def test_the_recorded_coverage_is_what_is_promised() -> None:
    record = json.loads((ROOT / "benchmarks/results/review_coverage.json").read_text("utf-8"))
    assert record["corpora"] == 1000
    held = {where: row["coverage"] for where, row in record["methods"]["wilson"].items()}
    assert len(held) == len(THRESHOLDS) + 2
    assert min(held.values()) >= 0.93 and max(held.values()) <= 0.97
    assert min(row["coverage"] for row in record["methods"]["wald"].values()) < 0.9


def test_alternatives_by_hand() -> None:
    strata = [Stratum(1000, [1.0] * 8 + [0.0] * 2), Stratum(1000, [])]
    found = share(strata)
    assert found is not None
    low, high = wald(found, strata)
    assert (high - low) / 2 == pytest.approx(1.96 * (0.8 * 0.2 / 9 * 0.99) ** 0.5, rel=1e-3)
    assert bootstrap([Stratum(5, [1.0])], np.random.default_rng(0)) == (1.0, 1.0)
    rng = np.random.default_rng(1)
    corpus = make_corpus(rng)
    judged = draw_from(corpus.rare.astype(np.int64), 50, rng, 0.5)
    assert judged.sum() == 50 and 10 < judged[corpus.rare].sum() < 40
