"""Repeat-factor sampling: samples that show what few others show come more often (LVIS; Gupta et al. 2019)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def repeat_factors(names: Sequence[frozenset[str]], below: float) -> NDArray[np.float64]:
    """How often each sample (n,) is to come in an epoch, from the names that it shows.

    A name that a share f of the samples shows asks for max(1, sqrt(below / f)); a sample gets the most that any of its
    names asks for, and 1 if it has none.
    """
    shown = Counter(name for each in names for name in each)
    asked = {name: max(1.0, (below * len(names) / count) ** 0.5) for name, count in shown.items()}
    return np.asarray([max((asked[name] for name in each), default=1.0) for each in names], dtype=np.float64)


def repeats(factors: NDArray[np.float64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
    """How often each sample (n,) comes in this epoch of set `number`: its factor, rounded down or up by chance.

    All epochs are equally long. Who is rounded up is drawn by systematic sampling: the fractions lie on a line one
    after the other, in a seeded order, and marks at equal distances hit some of them.
    """
    whole = np.floor(factors).astype(np.int64)  # (n,)
    fractions = factors - whole  # (n,)
    marks = round(float(fractions.sum()))
    if not marks:
        return whole
    rng = np.random.default_rng([seed, 6, number, epoch])
    order = rng.permutation(len(factors))
    ends = np.cumsum(fractions[order])  # (n,)
    hits = np.searchsorted(ends, (np.arange(marks) + rng.random()) * (ends[-1] / marks), side="right")  # (marks,)
    counts = whole
    np.add.at(counts, order[np.minimum(hits, len(order) - 1)], 1)
    return counts
