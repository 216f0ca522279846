"""The order of samples: complete, reproducible from any step, the same for any number of workers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from stages.train.order import MixedOrder, shuffled, shuffled_in_blocks


def make(sizes: list[int], weights: list[float], batch_size: int = 4, seed: int = 0) -> MixedOrder:
    return MixedOrder(
        sizes,
        weights,
        seed,
        shuffle=lambda number, epoch: shuffled(np.ones(sizes[number], dtype=np.int64), seed, number, epoch),
        shape=lambda number, index: (100 + index % 7, 100),
        batch_size=batch_size,
    )


def test_every_sample_of_an_epoch_comes_once_or_as_often_as_its_weight() -> None:
    order = make([64, 16], [1.0, 3.0])  # an epoch of 112 positions, 28 batches
    draws = [draw for step in range(32) for draw in order.batch(step)]  # whole windows of 8 batches
    epoch = [draw for draw in draws if draw.position < 112]
    counts = Counter((draw.set, draw.index) for draw in epoch)
    assert sorted(draw.position for draw in draws) == list(range(128))
    assert all(counts[0, index] == 1 for index in range(64))
    assert all(counts[1, index] == 3 for index in range(16))


def test_a_fractional_weight_takes_turns_through_the_whole_set() -> None:
    order = make([40, 40], [1.0, 0.25])  # 10 of the second set an epoch of 50
    draws = [draw for step in range(56) for draw in order.batch(step)]
    second = [draw.index for draw in sorted(draws, key=lambda draw: draw.position) if draw.set == 1][:40]
    assert sorted(second) == list(range(40))  # four epochs of the mixture see all of it once


def test_any_step_can_be_asked_for_first() -> None:
    steps = [make([50], [1.0]).batch(step) for step in (23, 0, 9)]
    again = make([50], [1.0])
    assert [again.batch(step) for step in (23, 0, 9)] == steps


def test_batches_hold_samples_of_like_shape() -> None:
    order = make([200], [1.0], batch_size=8)
    spread = [np.ptp([draw.index % 7 for draw in order.batch(step)]) for step in range(8)]
    assert np.mean(spread) <= 1.5  # of 7 shapes; a random batch spreads over nearly all of them


def test_blocks_are_shuffled_without_loss_and_few_are_open_at_once() -> None:
    blocks = [5, 1, 7, 3, 8, 2]
    order = shuffled_in_blocks(np.ones(sum(blocks), dtype=np.int64), blocks, group=2, seed=1, chosen=0, epoch=0)
    assert sorted(order) == list(range(sum(blocks)))
    owner = np.repeat(np.arange(len(blocks)), blocks)[order]
    changes = [set(owner[max(0, at - 1) : at + 1]) for at in range(len(owner))]
    seen: list[set[int]] = [set()]
    for block in owner:  # cut into groups: a new block beyond two starts the next group
        if block not in seen[-1] and len(seen[-1]) == 2:
            seen.append(set())
        seen[-1].add(int(block))
    assert changes and len(seen) == 3 and set.union(*seen) == set(range(6))


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        make([3, 0], [1.0, 1.0])


def test_a_set_whose_order_is_longer_than_the_set_goes_on_where_it_was() -> None:
    counts = np.array([1, 3, 1, 2])
    order = MixedOrder(
        [4],
        [1.0],
        0,
        shuffle=lambda number, epoch: shuffled(counts, 0, number, epoch),
        shape=lambda number, index: (100, 100),
        batch_size=1,
    )
    draws = sorted((draw.position, draw.index) for step in range(56) for draw in order.batch(step))
    for epoch in range(8):
        drawn = Counter(index for position, index in draws[7 * epoch : 7 * (epoch + 1)])
        assert [drawn[index] for index in range(4)] == counts.tolist()
