"""R@1 and AP by how often gold names a head, against a recount by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from experiments.photos_claim.measure import RECALLS, Table, figures, tier
from recipes.glip_photos.judge import Judged

KNOWN = Counter({"man": 10, "kite": 9, "dog": 1})


def judged(key: str, head: str, gold: int, *labels: tuple[float, bool]) -> Judged:
    taken = iter(range(gold))
    rows = [(score, right, next(taken) if right else -1) for score, right in labels]
    return Judged(key, head, bool(labels and labels[0][1]), gold, True, rows)


FOUND = [
    judged("a", "man", 2, (0.9, True), (0.3, True)),
    judged("a", "kite", 1, (0.8, False), (0.7, True)),
    judged("b", "dog", 1, (0.6, True)),
    judged("b", "zebra", 1),
]


@pytest.mark.parametrize(("head", "name"), [("man", "frequent"), ("kite", "rare"), ("dog", "rare"), ("ox", "unseen")])
def test_tiers(head: str, name: str) -> None:
    assert tier(head, KNOWN) == name


def recounted(labels: list[tuple[float, bool]], gold: int) -> float:
    """101-point AP, point by point."""
    ordered = [right for _, right in sorted(labels, key=lambda label: -label[0])]
    points = [(sum(ordered[: n + 1]) / gold, sum(ordered[: n + 1]) / (n + 1)) for n in range(len(ordered))]
    best = [max((precision for recall, precision in points if recall >= at), default=0.0) for at in RECALLS]
    return 100 * sum(best) / len(best)


def test_figures_of_each_tier() -> None:
    found = figures(FOUND, KNOWN, draws=20)
    assert {name: row["phrases"] for name, row in found.items()} == {"all": 4, "frequent": 1, "rare": 2, "unseen": 1}
    assert {name: row["recall_at_1"] for name, row in found.items()} == {
        "all": 50.0,
        "frequent": 100.0,
        "rare": 50.0,
        "unseen": 0.0,
    }
    everything = [(score, right) for one in FOUND for score, right, _ in one.labels]
    assert found["all"]["ap"] == pytest.approx(recounted(everything, 5), abs=0.01)
    assert found["rare"]["ap"] == pytest.approx(recounted([(0.8, False), (0.7, True), (0.6, True)], 2), abs=0.01)
    assert (found["frequent"]["ap"], found["unseen"]["ap"]) == (100.0, 0.0)
    draws = found["all"]["draws"]["recall_at_1"].split()
    assert len(draws) == 20 and set(map(float, draws)) == {50.0}  # each photo has one of two


def test_a_photo_counts_as_often_as_it_is_drawn() -> None:
    photos = {"a": 0, "b": 1}
    table, twice = Table.of(FOUND, photos), Table.of([*FOUND, *FOUND[:2]], photos)
    weight, once = np.array([2, 1]), np.ones(2)
    assert table.recall_at_1(np.array([1, 0])) == 50.0 and table.recall_at_1(np.array([0, 1])) == 50.0
    assert table.recall_at_1(weight) == pytest.approx(twice.recall_at_1(once))
    assert table.average_precision(weight) == pytest.approx(twice.average_precision(once))
    assert np.isnan(Table.of(FOUND[:1], photos).average_precision(np.array([0, 1])))
