"""Few shots: drawn as GLIP draws them."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from stages.tune.shots import copies, draw_shots


def made(images: int, seed: int = 5, kinds: int = 4) -> list[set[int]]:
    rng = random.Random(seed)
    return [set(rng.choices(range(kinds), [8, 4, 2, 1], k=rng.randint(1, 3))) for _ in range(images)]


def walked(classes: list[set[int]], shots: int, seed: int) -> list[int]:
    """The same walk, with a list of what is still wanted by number, as the published loader keeps it."""
    wanted = [shots] * 4
    order = list(range(len(classes)))
    random.Random(seed).shuffle(order)
    taken = []
    for image in order:
        if sum(wanted[kind] > 0 for kind in classes[image]):
            taken.append(image)
            for kind in classes[image]:
                wanted[kind] -= 1
    return taken


@pytest.mark.parametrize("seed", [3, 30, 300])
@pytest.mark.parametrize("shots", [1, 3, 5, 10])
def test_the_draw_is_the_published_walk(seed: int, shots: int) -> None:
    classes = made(80)
    drawn = draw_shots(classes, shots, seed)
    assert drawn == walked(classes, shots, seed)
    have = Counter(kind for image in drawn for kind in classes[image])
    there = Counter(kind for own in classes for kind in own)
    for kind in range(4):
        assert min(shots, there[kind]) <= have[kind]
    assert len(set(drawn)) == len(drawn) <= 4 * shots


def test_draws_are_fixed_for_good() -> None:
    """Python promises the order of its generator: these may never change."""
    classes = [{number % 3} for number in range(12)]
    assert [draw_shots(classes, 1, seed) for seed in (3, 30, 300)] == [[1, 0, 11], [1, 5, 6], [11, 6, 1]]


def test_what_shows_nothing_is_not_drawn_and_no_shots_are_none() -> None:
    assert draw_shots([set(), {1}, set(), {1, 2}], 9, 3) in ([1, 3], [3, 1])
    assert draw_shots(made(9), 0, 3) == []


@pytest.mark.parametrize(
    ("shots", "times"), [(1, 8), (2, 8), (3, 4), (4, 4), (5, 2), (9, 2), (10, 1), (50, 1), ("all", 1)]
)
def test_few_shots_come_often(shots: int | str, times: int) -> None:
    assert copies(shots) == times
