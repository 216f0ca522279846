"""The draw: seeded, spread over strata, the same for boxes that have not changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.review.draw import allocate, draw, population
from stages.review.population import STRATA
from tests.stages.review.sitting import surviving


@pytest.fixture
def run(shapes: Callable[..., Any]) -> Any:
    return shapes(part_size=40).fill(120)


def test_the_same_seed_draws_the_same(run: Any) -> None:
    io = run.all_parts()
    one, again, other = (draw(io, run.config, 50, 10, seed) for seed in (0, 0, 1))
    assert one == again and [len(units) for units in one] == [50, 10]
    assert {unit.number for unit in one[0]} != {unit.number for unit in other[0]}
    drawn = {(unit.key, unit.span, unit.corners, unit.score) for unit in one[0]}
    assert drawn <= {(key, span, corners, score) for key, span, corners, score, _ in surviving(run)}
    assert len(drawn) == 50 and all(unit.corners is None for unit in one[1])


def test_a_longer_draw_begins_with_every_stratum_of_a_shorter_one(run: Any) -> None:
    io = run.all_parts()
    short, long = (draw(io, run.config, number, 5)[0] for number in (40, 120))
    assert {unit.number for unit in short} <= {unit.number for unit in long}
    assert len({unit.stratum for unit in long[:24]}) > 10  # and who stops early has seen some of each


def test_every_box_is_drawn_alike_within_its_stratum(run: Any) -> None:
    """Over seeds, each box of a stratum comes as often as any other."""
    io = run.all_parts()
    times = Counter(unit.number for seed in range(60) for unit in draw(io, run.config, 100, 0, seed)[0])
    strata: dict[int, list[int]] = {}
    for unit in draw(io, run.config, 10_000, 0)[0]:
        strata.setdefault(unit.stratum, []).append(times[unit.number])
    big = [counts for counts in strata.values() if len(counts) >= 20]
    assert len(big) >= 3
    means = [float(np.mean(counts)) for counts in big]
    spread = [float(np.var(counts)) / (m * (1 - m / 60)) for counts, m in zip(big, means, strict=True)]  # binomial: 1
    assert 0.8 < float(np.average(spread, weights=[len(counts) for counts in big])) < 1.25, spread


def test_a_relabel_that_changes_other_boxes_draws_the_rest_again(run: Any, shapes: Callable[..., Any]) -> None:
    before = {unit.number for unit in draw(run.all_parts(), run.config, 60, 0)[0]}
    rows, run.rows["labels"] = run.rows["labels"], []
    moved = 0
    for part in run.all_parts().parts():
        own = [row for row in rows if int(row["key"][:7]) == part]
        for row in own[::4]:
            moved += len(row["boxes"])
            row["boxes"] = [{**box, "x1": box["x1"] / 2} for box in row["boxes"]]
        run.write("labels", part, own)
    assert moved > 50
    after = {unit.number for unit in draw(run.all_parts(), run.config, 60, 0)[0]}
    assert 30 <= len(before & after) < 60


def test_the_population_is_counted_and_its_units_found_again(run: Any) -> None:
    io = run.all_parts()
    boxes, phrases = draw(io, run.config, 30, 6)
    wanted = np.array([*(unit.number for unit in (*boxes, *phrases)), 12345], np.uint64)
    whole = population(io, run.config, wanted)
    assert whole.chosen == {unit.number: unit for unit in (*boxes, *phrases)}
    assert whole.boxes.shape == (STRATA, 102) and whole.boxes.sum() == len(surviving(run))
    above = sum(score > 0.57 for *_, score, _ in surviving(run))
    assert whole.boxes[:, 58:].sum() == above > 0


@pytest.mark.parametrize("most", [0, 1, 7, 100, 149, 1000])
def test_strata_get_as_many_as_each_other_or_all_they_have(most: int) -> None:
    given = allocate([0, 1, 4, 100, 44], most)
    assert given.sum() == min(most, 149) and (given <= [0, 1, 4, 100, 44]).all()
    assert allocate([100_000, 900_000], 400).tolist() == [200, 200]
    assert allocate([1281, 80, 21, 9], 60).tolist() == [17, 17, 17, 9], "high scores are few, and get their judgements"
    assert allocate([100_000, 900_000], 400, 0.5).tolist() == [100, 300], "in proportion to a power of the size"
