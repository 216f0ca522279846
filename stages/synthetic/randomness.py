"""One random stream per scene, so that any scene can be drawn alone, anywhere, with the same bytes."""

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np

Item = TypeVar("Item")

SPLITS = ("gold", "web", "eval")
_REFILL = 256


def cumulative(weights: Sequence[float]) -> list[float]:
    """Running sums that end in 1, for Stream.weighted."""
    sums = list(accumulate(weights))
    return [value / sums[-1] for value in sums[:-1]] + [1.0]


class Stream:
    """Uniform numbers of a PCG64 generator, drawn by the block: numpy is slow at one number a call."""

    def __init__(self, *entropy: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        self._numbers: list[float] = []

    @classmethod
    def of_scene(cls, split: str, seed: int, index: int) -> "Stream":
        """The stream of one scene; raises ValueError for an unknown split, a negative seed or index."""
        if split not in SPLITS:
            raise ValueError(f"scenes have no split {split!r}; choose one of {', '.join(SPLITS)}")
        if seed < 0 or index < 0:
            raise ValueError(f"a scene's seed and index are whole numbers from 0 on, not {seed} and {index}")
        return cls(seed, SPLITS.index(split), index)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """A number in [low, high)."""
        if not self._numbers:
            self._numbers = self._generator.random(_REFILL).tolist()
        return low + (high - low) * self._numbers.pop()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def integer(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items, each as likely as the others."""
        return items[int(self.uniform() * len(items))]

    def weighted(self, items: Sequence[Item], sums: Sequence[float]) -> Item:
        """One of the items, by the running sums of their weights (see cumulative)."""
        point = self.uniform()
        low, high = 0, len(sums) - 1
        while low < high:
            middle = (low + high) // 2
            if sums[middle] > point:
                high = middle
            else:
                low = middle + 1
        return items[low]

    def shuffled(self, items: Sequence[Item]) -> list[Item]:
        """The items in random order."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = int(self.uniform() * (last + 1))
            result[last], result[other] = result[other], result[last]
        return result
