"""Streams: one for each scene, the same everywhere, fair."""

from __future__ import annotations

from collections import Counter

import pytest

from stages.synthetic.randomness import SPLITS, Stream, cumulative


def test_a_scene_has_a_stream_of_its_own() -> None:
    first = {(split, seed, index): Stream.of_scene(split, seed, index).uniform()
             for split in SPLITS for seed in (0, 1) for index in (0, 1, 12345)}  # fmt: skip
    assert len(set(first.values())) == len(first)
    again = [Stream.of_scene("web", 0, 12345).uniform() for _ in range(2)]
    assert again == [first["web", 0, 12345]] * 2


@pytest.mark.parametrize(("split", "seed", "index"), [("train", 0, 0), ("web", -1, 0), ("web", 0, -1)])
def test_a_stream_of_no_scene_is_refused(split: str, seed: int, index: int) -> None:
    with pytest.raises(ValueError, match="scene"):
        Stream.of_scene(split, seed, index)


def test_numbers_stay_in_their_range_beyond_a_block() -> None:
    stream = Stream(7)
    numbers = [stream.uniform(2.0, 5.0) for _ in range(1000)]
    assert 2.0 <= min(numbers) < 2.1 and 4.9 < max(numbers) < 5.0 and len(set(numbers)) == 1000
    assert {stream.integer(3, 5) for _ in range(100)} == {3, 4, 5}


def test_choices_follow_their_weights() -> None:
    sums = cumulative([6.0, 0.0, 3.0, 1.0])
    assert sums == pytest.approx([0.6, 0.6, 0.9, 1.0]) and sums[-1] == 1.0
    stream = Stream(8)
    counts = Counter(stream.weighted("abcd", sums) for _ in range(5000))
    assert counts["b"] == 0
    assert [counts[item] / 5000 for item in "acd"] == pytest.approx([0.6, 0.3, 0.1], abs=0.03)
    picked = Counter(stream.pick("xyz") for _ in range(3000))
    assert all(count / 3000 == pytest.approx(1 / 3, abs=0.04) for count in picked.values()) and len(picked) == 3


def test_shuffling_loses_nothing_and_every_order_comes() -> None:
    stream = Stream(9)
    items = (1, 2, 3)
    orders = Counter(tuple(stream.shuffled(items)) for _ in range(600))
    assert items == (1, 2, 3) and len(orders) == 6 and min(orders.values()) > 60
    assert all(sorted(order) == [1, 2, 3] for order in orders)
