"""Tables of phrases for stats.json and the page, from merged counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.audit.terms import SUMS, Totals
from stages.flat import Flags, Ints

LISTED = 40  # rows of each table
OFTEN = 20  # a phrase asked for at least so often counts as asked for many times
HARDLY = 0.1  # ... and as hardly ever found when at most this share of it got a box


def phrase_tables(phrases: Totals) -> dict[str, list[dict[str, Any]]]:
    """Most often in captions, most boxes, fewest boxes, most often ungrounded, most often with several boxes."""
    c = phrases.columns
    ungrounded = c["asked"] - c["grounded"]
    often = (c["asked"] >= OFTEN) & (c["grounded"] <= HARDLY * c["asked"])
    return {
        "most_mentioned": highest(phrases, c["seen"], c["seen"] > 0),
        "most_frequent": highest(phrases, c["boxes"], c["boxes"] > 0),
        "rarest": _rarest(phrases),
        "most_often_ungrounded": highest(phrases, ungrounded, often),
        "most_often_several": highest(phrases, c["several"], c["several"] > 0),
    }


def highest(phrases: Totals, measure: NDArray[Any], where: Flags, names: Sequence[str] = SUMS) -> list[dict[str, Any]]:
    """The LISTED phrases of the highest measure, with the columns of these names. Ties: alphabetical (of at most 10,000
    with the smallest hashes)."""
    chosen = np.flatnonzero(where)
    if len(chosen) > LISTED:
        cut = np.partition(measure[chosen], -LISTED)[-LISTED]
        above, level = chosen[measure[chosen] > cut], chosen[measure[chosen] == cut]
        chosen = np.r_[above, level[:10_000]]
    ordered = sorted(zip((-measure[chosen]).tolist(), phrases.texts(chosen), chosen.tolist()))[:LISTED]
    return _rows(phrases, np.array([i for *_, i in ordered], np.int64), names)


def _rarest(phrases: Totals) -> list[dict[str, Any]]:
    """LISTED phrases of the fewest kept boxes; of equal ones those of the smallest hash, which is an even draw."""
    boxes = phrases.columns["boxes"]
    kept = np.flatnonzero((boxes > 0) & phrases.sampled)
    return _rows(phrases, kept[np.argsort(boxes[kept], kind="stable")[:LISTED]], SUMS)


def _rows(phrases: Totals, index: Ints, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"phrase": text, **{name: int(phrases.columns[name][i]) for name in names}}
        for text, i in zip(phrases.texts(index), index.tolist())
    ]
