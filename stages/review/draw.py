"""Which boxes and phrases people are shown: a seeded draw from every stratum.

The boxes of a stratum are shown in the order of their numbers, mixed with the seed, so that any beginning of the list
is a random sample of each stratum. All strata get as many judgements, since people ask for precision at thresholds, and
the few boxes of high scores decide there. `benchmarks/review_coverage.py` compares the widths of the intervals with
those of other powers of the size (power allocation, Bankier 1988): they are 13% narrower than with the square root.
"""

from __future__ import annotations

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
    teachers_of,
    units_of_run,
)
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import Config


POWER = 0.0  # of a stratum's size, its share of the draw; 1 is proportional, 0 the same for all


@dataclass(frozen=True)
class Unit:
    """A drawn box, or a drawn phrase (without corners). `number` names it, whatever the labels around it become."""

    number: int
    stratum: int
    key: str
    span: tuple[int, int]
    corners: Corners | None
    score: float
    teacher: str = ""  # one of several that found the box; "" is the run's


@dataclass(frozen=True)
class Population:
    """All units of one teacher, counted; `chosen` are those that were looked for, by their number."""

    boxes: Ints  # (STRATA, 102): by `grid.passed`
    phrases: Ints  # (2,): common, rare
    cut: int  # mentions from which a phrase is common
    chosen: dict[int, Unit]


class Smallest:
    """The `most` units of each stratum with the smallest draws; units come part by part."""

    def __init__(self, strata: int, most: int, teacher: str = "") -> None:
        self.most = most
        self.teacher = teacher
        self.sizes = [0] * strata
        self.held: list[list[tuple[int, Unit]]] = [[] for _ in range(strata)]

    def add(self, units: Units, strata: Ints, seed: int) -> None:
        draws = mixed(units.number ^ mixed(np.array([seed], np.uint64)))  # (N,)
        for stratum in np.unique(strata).tolist():
            index = np.flatnonzero(strata == stratum)
            self.sizes[stratum] += len(index)
            best = index[np.argsort(draws[index], kind="stable")[: self.most]]
            found = zip(draws[best].tolist(), unit_list(units, best, strata, self.teacher), strict=True)
            self.held[stratum] = sorted([*self.held[stratum], *found], key=lambda item: item[0])[: self.most]


def unit_list(units: Units, index: Ints, strata: Ints, teacher: str) -> list[Unit]:
    columns = (
        *(units.number[index].tolist(), strata[index].tolist(), units.keys(index)),
        *(units.start[index].tolist(), units.end[index].tolist(), units.corners[index].tolist()),
        units.score[index].tolist(),
    )
    return [
        Unit(number, stratum, key, (start, end), tuple(corners) or None, score, teacher)  # type: ignore[arg-type]
        for number, stratum, key, start, end, corners, score in zip(*columns, strict=True)
    ]


def draw(io: RunIO, config: Config, boxes: int, phrases: int, seed: int = 0) -> tuple[list[Unit], list[Unit]]:
    """So many boxes of each teacher and so many phrases, fewer where there are no more, in the order in which they are
    shown. A box that two teachers have to the last bit is shown once.

    Raises UserError for a run without labels.
    """
    common = frequencies(io, config)
    drawn_boxes = [Smallest(STRATA, boxes, teacher) for teacher in teachers_of(io, config)]
    drawn_phrases = Smallest(len(CLASSES), phrases)
    for drawn in drawn_boxes:
        for of_boxes, of_phrases in units_of_run(io, config, drawn.teacher):
            drawn.add(of_boxes, _strata(of_boxes, common), seed)
            if not drawn.teacher:
                drawn_phrases.add(of_phrases, _strata(of_phrases, common), seed)
    return _in_order(drawn_boxes), _in_order([drawn_phrases])


def population(io: RunIO, config: Config, wanted: Numbers, teacher: str = "") -> Population:
    """The run counted by stratum, and the units among `wanted` (M,) that it still has."""
    common = frequencies(io, config)
    boxes, phrases = np.zeros((STRATA, 102), np.int64), np.zeros(len(CLASSES), np.int64)
    chosen: dict[int, Unit] = {}
    for of_boxes, of_phrases in units_of_run(io, config, teacher):
        strata = _strata(of_boxes, common)
        np.add.at(boxes, (strata, passed(of_boxes)), 1)
        phrases += np.bincount(_strata(of_phrases, common), minlength=len(CLASSES))
        for units in (of_boxes, of_phrases):
            index = np.flatnonzero(np.isin(units.number, wanted))
            chosen |= {unit.number: unit for unit in unit_list(units, index, _strata(units, common), teacher)}
    return Population(boxes, phrases, common.cut, chosen)


def _strata(units: Units, common: Frequencies) -> Ints:
    flags = common.common(units)
    return strata_of_boxes(units, flags) if units.corners.shape[1] else (~flags).astype(np.int64)


def _in_order(draws: Sequence[Smallest]) -> list[Unit]:
    """Strata and teachers by turns, so that people who stop early have judged some of each."""
    placed = [
        ((place + 0.5) / number, held[place])
        for drawn in draws
        for held, number in zip(drawn.held, allocate(drawn.sizes, drawn.most).tolist(), strict=True)
        for place in range(number)
    ]
    found: dict[int, Unit] = {}
    for _, (_, unit) in sorted(placed, key=lambda item: (item[0], item[1][0])):
        found.setdefault(unit.number, unit)
    return list(found.values())


def allocate(sizes: Sequence[int], most: int, power: float = POWER) -> NDArray[np.int64]:
    """How many units of each stratum (H,) are drawn: by a power of its size, and at most all of it."""
    size = np.array(sizes, np.int64)
    given = np.zeros(len(size), np.int64)
    left = min(most, int(size.sum()))
    while left:
        weight = np.where(given < size, size**power, 0.0)
        wanted = left * weight / weight.sum()
        step = np.minimum(np.floor(wanted).astype(np.int64), size - given)
        if not step.any():  # less than one each: the largest remainders
            step[np.argsort(-wanted, kind="stable")[:left]] = 1
            step = np.minimum(step, size - given)
        given += step
        left -= int(step.sum())
    return given
