"""From judgements to figures: precision and recall by threshold, agreement of reviewers, the threshold to choose."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from stages import grid
from stages.agreement import claim
from stages.geometry import box_array
from stages.label.several import config_of, name_of
from stages.review.draw import Population, Unit, population
from stages.review.estimate import Estimate, Stratum, kappa, ratio, share
from stages.review.journal import ABSENT, RIGHT, THERE, UNSURE, VERDICTS, Judgement, read_journals
from stages.review.population import BANDS, CLASSES, STRATA, teachers_of, units_of_part
from stages.stage import RunIO, UserError

if TYPE_CHECKING:
    from schemas.config import Config

Figures = dict[str, Any]
GROUPS = {"all": range(STRATA), "common": range(len(BANDS)), "rare": range(len(BANDS), STRATA)}  # of strata
ROUNDING = 6  # digits of shares


@dataclass(frozen=True)
class JudgedBox:
    """`right`: the share of the reviewers who said so, of those who were sure."""

    unit: Unit
    right: float

    @property
    def passed(self) -> int:
        return int(grid.passed(np.array([self.unit.score]))[0])


@dataclass(frozen=True)
class JudgedPhrase:
    """`found[i]`: how many of its `things` have a box above threshold i of the grid."""

    stratum: int
    things: int
    found: list[int]


def review_figures(io: RunIO, config: Config) -> Figures | None:
    """What `report/stats.json` has under `judged`; docs/review.md describes every key. None without a judgement."""
    judgements = read_journals(io)
    if not judgements:
        return None
    sampled = [judgement for judgement in judgements if judgement.drawn]
    numbers = np.array(sorted({judgement.number for judgement in sampled}), np.uint64)
    teachers = teachers_of(io, config)
    whole = {teacher: population(io, config, numbers, teacher) for teacher in teachers}
    there = [judgement for judgement in sampled if any(judgement.number in own.chosen for own in whole.values())]
    of_teacher = {teacher: _of_teacher(io, config, there, own, teacher) for teacher, own in whole.items()}
    figures = {
        "reviewers": dict(sorted(Counter(judgement.reviewer for judgement in judgements).items())),
        "stale": len(sampled) - len(there),
        **of_teacher[""],
        "common_from": whole[""].cut,
        "visible": _row(_visible(whole[""], there)),
        "agreement": agreement(there),
    }
    if len(teachers) > 1:
        names = dict(zip(teachers, [name_of(config.label.teachers[0]), *teachers[1:]], strict=True))
        figures["by_teacher"] = {names[teacher]: own for teacher, own in of_teacher.items()}
    return figures


def _of_teacher(io: RunIO, config: Config, judgements: Sequence[Judgement], whole: Population, teacher: str) -> Figures:
    """Precision and recall of one teacher, "" being the run's, by what was said of its boxes and phrases."""
    own = [judgement for judgement in judgements if judgement.number in whole.chosen]
    label = config_of(config, teacher).label if teacher else config.label
    thresholds = [(i, t) for i, t in enumerate(grid.THRESHOLDS.tolist()) if t >= round(label.score_floor, 6)]
    boxes, phrases = judged_boxes(own, whole), judged_phrases(io, config, own, whole, teacher)
    precision = {
        group: [row for i, t in thresholds if (row := _precision(whole, boxes, strata, i, t))]
        for group, strata in GROUPS.items()
    }
    recall = [{"threshold": t, **row} for i, t in thresholds if (row := _recall(whole, phrases, i))]
    return {
        "boxes": len(boxes),
        "verdicts": _verdicts(own, "box"),
        "phrases": len(phrases),
        "phrase_verdicts": _verdicts(own, "phrase"),
        "population": {"boxes": int(whole.boxes.sum()), "phrases": int(whole.phrases.sum())},
        "by_threshold": precision["all"],
        "by_frequency": {group: precision[group] for group in CLASSES},
        "at_min_score": _at(precision["all"], config.filter.min_score),
        "by_frequency_at_min_score": {g: _at(precision[g], config.filter.min_score) for g in CLASSES},
        "recall": recall,
        "recall_at_min_score": _at(recall, config.filter.min_score),
    }


def halving(more: int) -> str:
    return "1 more judgement halves" if more == 1 else f"{more:,} more judgements halve"


def suggest(figures: Figures | None, precision: float) -> Figures:
    """The row of the lowest threshold whose interval lies above `precision`. Raises UserError where none does."""
    rows = figures["by_threshold"] if figures else []
    if not rows:
        raise UserError("review --suggest: nothing is judged yet; run `phrasebox review RUN` first")
    found: Figures | None = next((row for row in rows if row["low"] > precision), None)
    if found is None:
        best = max(rows, key=lambda row: row["low"])
        more = f"; {halving(best['more'])} that interval" if best["more"] else ""
        raise UserError(
            f"review --suggest {precision:g}: no threshold is that sure; the best is {best['threshold']:g}, where the "
            f"precision is {best['precision']:.3f} ({best['low']:.3f} to {best['high']:.3f}){more}"
        )
    return found


# -- boxes --------------------------------------------------------------------------------------------------------


def judged_boxes(judgements: Sequence[Judgement], whole: Population) -> list[JudgedBox]:
    """Boxes of which someone is sure."""
    said: defaultdict[int, list[bool]] = defaultdict(list)
    for judgement in judgements:
        if judgement.kind == "box" and judgement.verdict != UNSURE:
            said[judgement.number].append(judgement.verdict == RIGHT)
    return [JudgedBox(whole.chosen[number], sum(right) / len(right)) for number, right in said.items()]


def _precision(
    whole: Population, boxes: Sequence[JudgedBox], strata: Sequence[int], i: int, threshold: float
) -> Figures | None:
    """Of the boxes above threshold i of the grid."""
    own: dict[int, list[float]] = {stratum: [] for stratum in strata}
    for box in boxes:
        if box.passed > i and box.unit.stratum in own:
            own[box.unit.stratum].append(box.right)
    sizes = whole.boxes[:, i + 1 :].sum(axis=1)
    found = share([Stratum(int(sizes[stratum]), right) for stratum, right in own.items()])
    if found is None:
        return None
    return {"threshold": threshold, **_rounded(found, "precision"), "boxes": found.size, "more": found.more}


# -- phrases ------------------------------------------------------------------------------------------------------


def judged_phrases(
    io: RunIO, config: Config, judgements: Sequence[Judgement], whole: Population, teacher: str = ""
) -> list[JudgedPhrase]:
    """Phrases of which someone is sure; of several reviewers, the first by name decides where things are."""
    sure: dict[int, Judgement] = {}
    for judgement in sorted(judgements, key=lambda judgement: judgement.reviewer):
        if judgement.kind == "phrase" and judgement.verdict != UNSURE:
            sure.setdefault(judgement.number, judgement)
    by_part: defaultdict[int, list[Judgement]] = defaultdict(list)
    for judgement in sure.values():
        by_part[int(judgement.key[:7])].append(judgement)
    found = []
    for part, own in sorted(by_part.items()):
        boxes, _ = units_of_part(io, part, config, teacher)
        for judgement in own:
            mine = (
                (boxes.row == int(judgement.key[7:])) & (boxes.start == judgement.start) & (boxes.end == judgement.end)
            )
            stratum = whole.chosen[judgement.number].stratum
            found.append(found_things(judgement, boxes.corners[mine], boxes.score[mine], stratum))
    return found


def found_things(judgement: Judgement, corners: Any, score: Any, stratum: int) -> JudgedPhrase:
    """Which things of a phrase its boxes (N, 4) have found, by the rule of `stages/agreement.py`."""
    things = box_array(judgement.boxes)  # (M, 4)
    pairs = np.meshgrid(np.arange(len(corners)), np.arange(len(things)), indexing="ij")
    claims = claim(corners.astype(np.float64), score, things.astype(np.float64), (pairs[0].ravel(), pairs[1].ravel()))
    counts = np.bincount(grid.passed(score[claims.right]), minlength=102)
    return JudgedPhrase(stratum, len(things), grid.above(counts).tolist())


def _recall(whole: Population, phrases: Sequence[JudgedPhrase], i: int) -> Figures | None:
    strata = [
        (int(size), [(p.found[i], p.things) for p in phrases if p.stratum == stratum])
        for stratum, size in enumerate(whole.phrases)
    ]
    found = ratio(strata)
    return None if found is None else {**_rounded(found, "recall"), "things": sum(p.things for p in phrases)}


def _visible(whole: Population, judgements: Sequence[Judgement]) -> Estimate | None:
    """The share of phrases whose thing is in the image."""
    said: defaultdict[int, list[float]] = defaultdict(list)
    for judgement in judgements:
        if judgement.kind == "phrase" and judgement.verdict != UNSURE and judgement.number in whole.chosen:
            said[judgement.number].append(float(judgement.verdict == THERE))
    strata = [
        Stratum(int(size), [np.mean(v).item() for n, v in said.items() if whole.chosen[n].stratum == stratum])
        for stratum, size in enumerate(whole.phrases)
    ]
    return share(strata)


# -- reviewers ----------------------------------------------------------------------------------------------------


def agreement(judgements: Sequence[Judgement]) -> list[Figures]:
    """Of every two reviewers: how many units both are sure of, and Cohen's kappa of right against wrong on these."""
    by_reviewer: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for judgement in judgements:
        by_reviewer[judgement.reviewer][judgement.number] = judgement.verdict or ""
    found = []
    for one, other in combinations(sorted(by_reviewer), 2):
        mine, theirs = by_reviewer[one], by_reviewer[other]
        both = [n for n in mine if n in theirs and UNSURE not in (mine[n], theirs[n])]
        first, second = ([_in_two(words[n]) for n in both] for words in (mine, theirs))
        same = sum(a == b for a, b in zip(first, second, strict=True))
        k = kappa(first, second)
        found.append(
            {
                "reviewers": [one, other],
                "both": len(both),
                "agree": round(same / len(both), ROUNDING) if both else None,
                "kappa": None if k is None else round(k, ROUNDING),
            }
        )
    return found


def _in_two(verdict: str) -> str:
    return verdict if verdict in (RIGHT, THERE, ABSENT) else "wrong"


def _verdicts(judgements: Sequence[Judgement], kind: str) -> dict[str, int]:
    counts = Counter(judgement.verdict for judgement in judgements if judgement.kind == kind)
    return {verdict: counts[verdict] for verdict in VERDICTS[kind]}


def _rounded(found: Estimate, name: str) -> Figures:
    values = {name: found.share, "low": found.low, "high": found.high}
    return {**{key: round(value, ROUNDING) for key, value in values.items()}, "judged": found.judged}


def _row(found: Estimate | None) -> Figures | None:
    return None if found is None else _rounded(found, "share")


def _at(rows: Sequence[Figures], threshold: float) -> Figures | None:
    return next((row for row in rows if row["threshold"] >= threshold), None)
