"""Shares of a corpus from a stratified sample, with 95% intervals.

Each stratum is a simple random sample, so that its share is weighted by its size in the corpus (Horvitz and Thompson
1952). The interval is Wilson's (1927) for the effective sample size, as surveys with unequal weights use it (Korn and
Graubard 1998, Franco et al. 2019): the number of independent judgements of the whole corpus that would have the same
variance. A stratum whose judgements all agree would have no variance, and the interval would be too narrow; therefore
two judgements at the share of the whole sample are added to each stratum where variances are computed.
`benchmarks/review_coverage.py` measures how often such intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.intervals import wilson

ADDED = 2.0  # judgements of each stratum, where variances are computed
MOST_TIMES = 1e6  # so many times more judgements are looked at, to halve an interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stratum:
    """`size` units of the corpus, and what was measured on some of them; a judgement is 1 where it is right, else 0."""

    size: int
    judgements: Sequence[float]


@dataclass(frozen=True)
class Estimate:
    """A share of the corpus with its 95% interval, from `judged` units of `size`.

    `more`: how many more judgements of these units halve the interval, spread over the strata as they are; None where
    there is nothing to halve.
    """

    share: float
    low: float
    high: float
    judged: int
    size: int
    more: int | None = None


def share(strata: Sequence[Stratum]) -> Estimate | None:
    """The share of right units. None without a judgement.

    A stratum without judgements is taken to be like the one after it (before it, where none comes after).
    """
    joined = _joined([stratum for stratum in strata if stratum.size])
    if not joined:
        return None
    size, judged, right = (np.array(values, float) for values in zip(*joined, strict=True))  # (H,) each
    weight = size / size.sum()
    found = float(weight @ (right / judged))
    low, high = _interval(found, weight, size, judged, right)
    return Estimate(found, low, high, int(judged.sum()), int(size.sum()), _more(found, weight, size, judged, right))


def ratio(strata: Sequence[tuple[int, Sequence[tuple[float, float]]]]) -> Estimate | None:
    """A ratio of two totals, such as things found to things there, of (size, [(part, whole) of each judged unit]).

    The variance is that of the linearised ratio (Cochran 1977, section 6.13). None where nothing is there.
    """
    used = [(size, np.array(units, float).reshape(-1, 2)) for size, units in strata if size and len(units)]
    whole = sum(size * units[:, 1].mean() for size, units in used)
    if not whole:
        return None
    found = float(sum(size * units[:, 0].mean() for size, units in used) / whole)
    variance = 0.0
    for size, units in used:
        rest = units[:, 0] - found * units[:, 1]
        spread = rest.var(ddof=1) if len(units) > 1 else float((rest**2).sum())
        variance += size**2 * (1 - len(units) / size) * spread / len(units)
    things = sum(float(units[:, 1].sum()) for _, units in used)
    smooth = (found * things + 1) / (things + 2)
    effective = min(smooth * (1 - smooth) * whole**2 / variance, things) if variance else things
    if all(len(units) == size for size, units in used):
        return Estimate(found, found, found, len(np.concatenate([u for _, u in used])), sum(s for s, _ in used))
    low, high = wilson(found, effective)
    return Estimate(found, low, high, sum(len(units) for _, units in used), sum(size for size, _ in used))


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's (1960) kappa of two people's verdicts on the same units; None where chance alone makes them agree."""
    if not first:
        return None
    total = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / total
    names = {*first, *second}
    chance = sum(list(first).count(name) * list(second).count(name) for name in names) / total**2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def _joined(strata: Sequence[Stratum]) -> list[tuple[int, int, float]]:
    """(size, judged, right) of strata that all have judgements."""
    joined: list[tuple[int, int, float]] = []
    waiting = 0
    for stratum in strata:
        if not stratum.judgements:
            waiting += stratum.size
            continue
        joined.append((stratum.size + waiting, len(stratum.judgements), float(sum(stratum.judgements))))
        waiting = 0
    if joined and waiting:
        size, judged, right = joined[-1]
        joined[-1] = (size + waiting, judged, right)
    return joined


def _interval(
    found: float, weight: Floats, size: Floats, judged: Floats, right: Floats, times: float = 1.0
) -> tuple[float, float]:
    """As if each stratum had `times` as many judgements, at most all of its units."""
    total = judged.sum()
    overall = (found * total + 1) / (total + 2)
    smooth = (right + ADDED * overall) / (judged + ADDED)  # (H,)
    number = np.minimum(judged * times, size)
    variance = float((weight**2 * (1 - number / size) * smooth * (1 - smooth) / number).sum())
    if not variance:
        return found, found
    middle = float(weight @ smooth)
    return wilson(found, middle * (1 - middle) / variance)


def _more(found: float, weight: Floats, size: Floats, judged: Floats, right: Floats) -> int | None:
    low, high = _interval(found, weight, size, judged, right)
    wanted = (high - low) / 2
    if not wanted:
        return None
    few, many = 1.0, MOST_TIMES
    for _ in range(60):
        middle = (few * many) ** 0.5
        low, high = _interval(found, weight, size, judged, right, middle)
        few, many = (few, middle) if high - low <= wanted else (middle, many)
    return int(np.ceil(np.minimum(judged * many, size) - judged).sum())
