"""Which boxes and phrases people are shown: a seeded draw from every stratum.

The boxes of a stratum are shown in the order of their numbers, mixed with the seed, so that any beginning of the list
is a random sample of each stratum. Strata get shares by the square root of their size (power allocation, Bankier 1988):
a compromise between one precise figure for the corpus and one for each band of scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners
from stages.review.population import (
    CLASSES,
    STRATA,
    Frequencies,
    Ints,
    Numbers,
    Units,
    frequencies,
    mixed,
    passed,
    strata_of_boxes,
    units_of_run,
)
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import Config


@dataclass(frozen=True)
class Unit:
    """A drawn box, or a drawn phrase (without corners). `number` names it, whatever the labels around it become."""

    number: int
    stratum: int
    key: str
    span: tuple[int, int]
    corners: Corners | None
    score: float


@dataclass(frozen=True)
class Population:
    """The whole run, counted; `chosen` are the units that were looked for, by their number."""

    boxes: Ints  # (STRATA, 102): by `grid.passed`
    phrases: Ints  # (2,): common, rare
    cut: int  # mentions from which a phrase is common
    chosen: dict[int, Unit]


class Smallest:
    """The `most` units of each stratum with the smallest draws; units come part by part."""

    def __init__(self, strata: int, most: int) -> None:
        self.most = most
        self.held: list[list[tuple[int, Unit]]] = [[] for _ in range(strata)]

    def add(self, units: Units, strata: Ints, seed: int) -> None:
        draws = mixed(units.number ^ mixed(np.array([seed], np.uint64)))  # (N,)
        for stratum in np.unique(strata).tolist():
            index = np.flatnonzero(strata == stratum)
            best = index[np.argsort(draws[index], kind="stable")[: self.most]]
            found = zip(draws[best].tolist(), unit_list(units, best, strata), strict=True)
            self.held[stratum] = sorted([*self.held[stratum], *found], key=lambda item: item[0])[: self.most]


def unit_list(units: Units, index: Ints, strata: Ints) -> list[Unit]:
    columns = (
        *(units.number[index].tolist(), strata[index].tolist(), units.keys(index)),
        *(units.start[index].tolist(), units.end[index].tolist(), units.corners[index].tolist()),
        units.score[index].tolist(),
    )
    return [
        Unit(number, stratum, key, (start, end), tuple(corners) or None, score)  # type: ignore[arg-type]
        for number, stratum, key, start, end, corners, score in zip(*columns, strict=True)
    ]


def draw(io: RunIO, config: Config, boxes: int, phrases: int, seed: int = 0) -> tuple[list[Unit], list[Unit]]:
    """So many boxes and phrases of the run, fewer where it has no more, in the order in which they are shown.

    Raises UserError for a run without labels.
    """
    common = frequencies(io, config)
    drawn_boxes, drawn_phrases = Smallest(STRATA, boxes), Smallest(len(CLASSES), phrases)
    sizes = [Counter[int](), Counter[int]()]
    for of_boxes, of_phrases in units_of_run(io, config):
        for units, drawn, size in ((of_boxes, drawn_boxes, sizes[0]), (of_phrases, drawn_phrases, sizes[1])):
            strata = _strata(units, common)
            size.update(strata.tolist())
            drawn.add(units, strata, seed)
    return _in_order(drawn_boxes, sizes[0], boxes), _in_order(drawn_phrases, sizes[1], phrases)


def population(io: RunIO, config: Config, wanted: Numbers) -> Population:
    """The run counted by stratum, and the units among `wanted` (M,) that it still has."""
    common = frequencies(io, config)
    boxes, phrases = np.zeros((STRATA, 102), np.int64), np.zeros(len(CLASSES), np.int64)
    chosen: dict[int, Unit] = {}
    for of_boxes, of_phrases in units_of_run(io, config):
        strata = _strata(of_boxes, common)
        np.add.at(boxes, (strata, passed(of_boxes)), 1)
        phrases += np.bincount(_strata(of_phrases, common), minlength=len(CLASSES))
        for units in (of_boxes, of_phrases):
            index = np.flatnonzero(np.isin(units.number, wanted))
            chosen |= {unit.number: unit for unit in unit_list(units, index, _strata(units, common))}
    return Population(boxes, phrases, common.cut, chosen)


def _strata(units: Units, common: Frequencies) -> Ints:
    flags = common.common(units)
    return strata_of_boxes(units, flags) if units.corners.shape[1] else (~flags).astype(np.int64)


def _in_order(drawn: Smallest, sizes: Counter[int], most: int) -> list[Unit]:
    """The strata by turns, so that people who stop early have judged some of each."""
    given = allocate([sizes[stratum] for stratum in range(len(drawn.held))], most)
    placed = [
        ((place + 0.5) / number, held[place])
        for held, number in zip(drawn.held, given.tolist(), strict=True)
        for place in range(number)
    ]
    return [unit for _, (_, unit) in sorted(placed, key=lambda item: (item[0], item[1][0]))]


def allocate(sizes: Sequence[int], most: int) -> NDArray[np.int64]:
    """How many units of each stratum (H,) are drawn: by the square root of its size, and at most all of it."""
    size = np.array(sizes, np.int64)
    given = np.zeros(len(size), np.int64)
    left = min(most, int(size.sum()))
    while left:
        free = given < size
        wanted = left * np.sqrt(size * free) / np.sqrt(size * free).sum()
        step = np.minimum(np.floor(wanted).astype(np.int64), size - given)
        if not step.any():  # less than one each: the largest remainders
            step[np.argsort(-wanted, kind="stable")[:left]] = 1
            step = np.minimum(step, size - given)
        given += step
        left -= int(step.sum())
    return given
