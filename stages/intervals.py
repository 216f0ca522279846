"""95% intervals of what a sample says about a corpus."""

from __future__ import annotations

import math
from itertools import accumulate

Z = 1.959964  # 95%
TAIL = 0.025  # beyond either end
HALVINGS = 100  # of the distance in which an end is looked for


def wilson(found: float, judged: float) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share that was found among so many judgements (need not be whole)."""
    centre = found + Z**2 / (2 * judged)
    half = Z * math.sqrt(found * (1 - found) / judged + (Z / (2 * judged)) ** 2)
    scale = 1 + Z**2 / judged
    return max((centre - half) / scale, 0.0), min((centre + half) / scale, 1.0)


def poisson(count: int) -> tuple[float, float]:
    """The exact interval of the mean number of rare events of which `count` were seen (Garwood 1936)."""
    return _mean(count - 1, 1 - TAIL) if count else 0.0, _mean(count, TAIL)


def _mean(most: int, share: float) -> float:
    """The mean of the Poisson distribution with this probability of at most `most` events."""
    low, high = 0.0, most + 10 * math.sqrt(most + 1)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(most, middle) > share else (low, middle)
    return low


def _at_most(most: int, mean: float) -> float:
    """The probability of at most so many events, with logarithms, since its terms are too small for numbers."""
    logs = accumulate((math.log(mean / count) for count in range(1, most + 1)), initial=-mean)
    return math.fsum(map(math.exp, logs))
