"""Components against a loop over images in their order."""

from __future__ import annotations

import numpy as np
import pytest

from stages.curate.components import roots


def one_by_one(count: int, edges: list[tuple[int, int]]) -> list[int]:
    found: list[int] = []
    for image in range(count):
        alike = [found[earlier] for later, earlier in edges if later == image]
        found.append(min(alike, default=image))
    return found


@pytest.mark.parametrize("edges", [0, 1, 30, 200])
def test_like_a_loop(edges: int) -> None:
    for seed in range(20):
        draw = np.random.default_rng(seed)
        pairs = [tuple(sorted(draw.choice(60, 2, replace=False).tolist(), reverse=True)) for _ in range(edges)]
        later, earlier = np.array(pairs, np.int64).reshape(-1, 2).T
        found = roots(60, later, earlier)
        assert found.tolist() == one_by_one(60, pairs)
        early = later < 40
        assert roots(40, later[early], earlier[early]).tolist() == found[:40].tolist()


def test_a_long_chain() -> None:
    assert roots(1000, np.arange(1, 1000), np.arange(999)).tolist() == [0] * 1000


def test_components_that_a_later_image_is_like_stay_apart() -> None:
    assert roots(3, np.array([2, 2]), np.array([1, 0])).tolist() == [0, 1, 0]
