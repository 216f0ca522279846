"""The grids of thresholds and bins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stages import grid
from tests.stages.audit.audited import norms, stats_of, stored


def test_thresholds_are_counted_on_labels(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(130)
    run.audit()
    stats, labels, text = stats_of(run), stored(run, "labels"), norms(run)
    assert [row["threshold"] for row in stats["by_threshold"]] == [i / 100 for i in range(10, 101)]
    for row in stats["by_threshold"]:
        above = [(r["key"], b) for r in labels for b in r["boxes"] if b["score"] > row["threshold"]]
        assert row["boxes"] == len(above)
        assert row["pairs"] == len({key for key, _ in above})
        assert row["unique_phrases"] == len({text[key][box["phrase"]] for key, box in above})


def test_a_score_is_above_a_threshold_strictly() -> None:
    scores = np.array([0.0, 0.1, 0.29, 0.3, 0.30000001, 1.0])
    passed = grid.passed(scores)
    for score, count in zip(scores.tolist(), passed.tolist(), strict=True):
        assert count == sum(score > i / 100 for i in range(101))
    above = grid.above(np.bincount(passed, minlength=102))
    assert above.tolist() == [sum(score > i / 100 for score in scores.tolist()) for i in range(101)]


def test_what_lies_outside_of_the_edges_joins_the_first_or_the_last_bin() -> None:
    edges = np.array([0.0, 1.0, 2.0, 4.0])
    assert grid.bin_of(np.array([-3.0, 0.0, 0.99, 1.0, 3.99, 4.0, 99.0]), edges).tolist() == [0, 0, 0, 1, 2, 2, 2]
