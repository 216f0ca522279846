"""Repeat-factor sampling: against its definition, and what the sets say that they show."""

from __future__ import annotations

import numpy as np
import pytest

from stages.synthetic import draw_scene, scene_nouns
from stages.train.balance import repeat_factors, repeats


def test_factors_by_definition() -> None:
    names = [frozenset({"dog"})] * 90 + [frozenset({"dog", "axe"})] * 9 + [frozenset({"fox", "axe"})] + [frozenset()]
    factors = repeat_factors(names, 0.4)
    axe, fox = (0.4 * 101 / 10) ** 0.5, (0.4 * 101 / 1) ** 0.5
    np.testing.assert_allclose(factors, [1.0] * 90 + [axe] * 9 + [fox] + [1.0])
    np.testing.assert_array_equal(repeat_factors(names, 0.009), np.ones(101))  # none is rarer than that
    assert len(repeat_factors([], 0.1)) == 0


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_every_sample_comes_as_often_as_its_factor_rounded_either_way_and_on_average_as_often(size: int) -> None:
    factors = 1.0 + np.random.default_rng(0).random(size) ** 3 * 4
    epochs = np.stack([repeats(factors, 5, 0, epoch) for epoch in range(400)])  # (400, n)
    assert len(set(epochs.sum(axis=1).tolist())) == 1  # all epochs are equally long
    assert abs(int(epochs[0].sum()) - factors.sum()) <= 0.5
    assert np.all(epochs >= np.floor(factors)) and np.all(epochs <= np.ceil(factors) + (size < 10))
    if size > 10:
        np.testing.assert_allclose(epochs.mean(axis=0), factors, atol=0.15)
        assert abs(float((epochs.mean(axis=0) - factors).mean())) < 1e-3
    np.testing.assert_array_equal(repeats(np.ones(size), 5, 0, 1), np.ones(size))
    np.testing.assert_array_equal(epochs[3], repeats(factors, 5, 0, 3))


def test_scenes_say_what_they_show_without_being_drawn() -> None:
    for split in ("gold", "web", "eval"):
        for index in range(25):
            objects = draw_scene(split, 3, index).objects
            assert scene_nouns(split, 3, index) == frozenset(category for category, _ in objects)
