"""Which sample comes when: a pure function of the seed and the position, so that resuming needs no state.

Sets are mixed by weight: one epoch of the mixture holds each sample of set i `weight_i` times (GLIP's "copies"; a
fraction draws that share of it); within that, a set's own order may hold some of its samples more often than others
(stages/train/balance.py). Positions are cut into windows of some batches; within a window samples are sorted by
shape, so that a batch pads little (GLIP groups wide and tall images), and the batches of the window are shuffled again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 8  # batches


@dataclass(frozen=True)
class Draw:
    """Sample `index` of set `set`, drawn at `position` of the whole training; `position` seeds its augmentation."""

    position: int
    set: int
    index: int


class MixedOrder:
    """Positions 0, 1, 2, ... of an endless training to samples.

    `shuffle(set, epoch)` gives the order of one set in one epoch, as an array of indices; all epochs of a set are
    equally long.
    """

    def __init__(
        self,
        sizes: list[int],
        weights: list[float],
        seed: int,
        shuffle: Callable[[int, int], NDArray[np.int64]],
        shape: Callable[[int, int], tuple[int, int]],
        batch_size: int,
    ) -> None:
        if not sizes or min(sizes) < 1:
            raise ValueError("every set of the mixture needs at least one sample")
        self.sizes, self.seed, self.shuffle, self.shape, self.batch_size = sizes, seed, shuffle, shape, batch_size
        self.rates = np.asarray(sizes, dtype=np.float64) * np.asarray(weights, dtype=np.float64)
        self.epoch_size = max(1, round(float(self.rates.sum())))
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}
        self._lengths: dict[int, int] = {}  # of an epoch of each set
        self._window: tuple[int, list[list[Draw]]] | None = None

    def batch(self, step: int) -> list[Draw]:
        """The samples of one step, over all workers."""
        number, offset = divmod(step, WINDOW)
        if self._window is None or self._window[0] != number:
            self._window = (number, self._make_window(number))
        return self._window[1][offset]

    def _make_window(self, number: int) -> list[list[Draw]]:
        start = number * WINDOW * self.batch_size
        draws = [self._draw(position) for position in range(start, start + WINDOW * self.batch_size)]
        shapes = [self.shape(draw.set, draw.index) for draw in draws]
        by_shape = sorted(range(len(draws)), key=lambda i: (shapes[i][0] / max(shapes[i][1], 1), shapes[i], i))
        batches = [
            [draws[i] for i in by_shape[at : at + self.batch_size]] for at in range(0, len(draws), self.batch_size)
        ]
        order = np.random.default_rng([self.seed, 2, number]).permutation(len(batches))
        return [batches[i] for i in order]

    def _draw(self, position: int) -> Draw:
        """Within one epoch of the mixture, set i takes every place of a seeded shuffle that falls to it."""
        epoch, place = divmod(position, self.epoch_size)
        chosen, ordinal = self._places(epoch)[place]
        count = self._count(int(chosen)) * epoch + int(ordinal)  # so many of this set were drawn before
        set_epoch, index = divmod(count, self._length(int(chosen)))
        return Draw(position, int(chosen), int(self._order(int(chosen), set_epoch)[index]))

    def _count(self, chosen: int) -> int:
        """How many places set `chosen` has in one epoch of the mixture."""
        edges = np.round(np.concatenate([[0.0], np.cumsum(self.rates)])).astype(np.int64)
        edges[-1] = self.epoch_size
        return int(edges[chosen + 1] - edges[chosen])

    def _places(self, epoch: int) -> NDArray[np.int64]:
        """(epoch_size, 2): which set each place goes to, and the how-manieth of that set it is."""
        cached = self._orders.get(-1)
        if cached is not None and cached[0] == epoch:
            return cached[1]
        sets = np.repeat(np.arange(len(self.sizes)), [self._count(i) for i in range(len(self.sizes))])
        sets = np.random.default_rng([self.seed, 0, epoch]).permutation(sets)  # (epoch_size,)
        ordinals = np.zeros_like(sets)
        for i in range(len(self.sizes)):
            mine = sets == i
            ordinals[mine] = np.arange(int(mine.sum()))
        places = np.stack([sets, ordinals], axis=1)  # (epoch_size, 2)
        self._orders[-1] = (epoch, places)
        return places

    def _length(self, chosen: int) -> int:
        if chosen not in self._lengths:
            self._lengths[chosen] = len(self._order(chosen, 0))
        return self._lengths[chosen]

    def _order(self, chosen: int, epoch: int) -> NDArray[np.int64]:
        cached = self._orders.get(chosen)
        if cached is None or cached[0] != epoch:
            cached = (epoch, self.shuffle(chosen, epoch))
            self._orders[chosen] = cached
        return cached[1]


def shuffled(counts: NDArray[np.int64], seed: int, chosen: int, epoch: int) -> NDArray[np.int64]:
    """A plain permutation in which each index (n,) occurs as often as `counts` says."""
    return np.random.default_rng([seed, 1, chosen, epoch]).permutation(np.repeat(np.arange(len(counts)), counts))


def shuffled_in_blocks(
    counts: NDArray[np.int64], blocks: list[int], group: int, seed: int, chosen: int, epoch: int
) -> NDArray[np.int64]:
    """A permutation that stays within `group` shuffled blocks (shards) at a time, so that few files are open at once.

    `blocks` are the sizes of consecutive index ranges; every index (n,) occurs as often as `counts` says.
    """
    rng = np.random.default_rng([seed, 1, chosen, epoch])
    starts = np.concatenate([[0], np.cumsum(blocks)])
    parts = []
    order = rng.permutation(len(blocks))
    for at in range(0, len(order), group):
        indices = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in order[at : at + group]])
        parts.append(rng.permutation(np.repeat(indices, counts[indices])))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
