"""Agreement of the run's labels with its gold, on the same images: for any source whose true boxes have phrases.

Every box of labels/ is judged by the rule of `agreement.py`: its phrase names the gold span that it overlaps most, and
it is right when it has IoU >= 0.5 with a true box of that span that no better box has claimed. True boxes that belong
to no span are not asked for. By frequency: how often the phrase's norm occurs in the run's phrases/, over all captions;
a true box counts where the phrase does that names its span, and under `all` alone where none does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from schemas.tables import GoldTable, LabelTable, PhraseTable, RejectTable
from stages.agreement import claim, named_spans, same_row
from stages.evaluate.tally import Tally
from stages.flat import FlatGold, FlatPhrases
from stages.stage import RunIO, UserError

BANDS = (("1", 1, 1), ("2-9", 2, 9), ("10-99", 10, 99), ("100+", 100, None))  # name, from, to


def evaluate_labels(io: RunIO, threshold: float, progress: Callable[[int], None]) -> dict[str, Any]:
    """The figures over all parts; `progress` gets the number of images done. Raises UserError without gold.

    `failed`: how many images with true boxes the label stage rejected, by reason; they are in no figure.
    """
    parts = [
        part for part in io.parts() if io.has_part(LabelTable.dataset, part) and io.has_part(GoldTable.dataset, part)
    ]
    if not parts:
        raise UserError("evaluate.benchmark: labels needs labels/ and gold/ in the run, and a part that has both")
    frequency = norm_counts(io, parts)
    tallies = {"all": Tally(), **{name: Tally() for name, _, _ in BANDS}}
    failed, done = Counter[str](), 0
    for part in parts:
        gold = GoldTable.read_part(io, part)
        done += judge_part(io, part, gold, frequency, tallies)
        known = set(gold.key.to_pylist())
        failed.update(reason for key, reason in rejected(io, part) if key in known)
        progress(done)
    if not tallies["all"].gold:
        raise UserError(
            "evaluate.benchmark: no true box of the run's gold/ has a phrase; labels can only be judged by it"
        )
    return {
        "agreement": {
            name: {"at": tally.at(threshold), "curve": tally.curve(), "calibration": tally.calibration()}
            for name, tally in tallies.items()
        },
        "pictures": done,
        "failed": dict(failed),
        "data": {"annotations": "gold/", "parts": len(parts)},
        "protocol": " ".join((__doc__ or "").split()),
    }


def rejected(io: RunIO, part: int) -> list[tuple[str, str]]:
    """(key, reason) of the rows that the label stage has not labelled."""
    if not io.has_part("rejects/label", part):
        return []
    rejects = RejectTable(io.read_part("rejects/label", part, [RejectTable.key, RejectTable.reason]))
    return list(zip(rejects.key.to_pylist(), rejects.reason.to_pylist(), strict=True))


def norm_counts(io: RunIO, parts: list[int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(PhraseTable.read_part(io, part, PhraseTable.phrases).phrases.norm.to_pylist())
    return counts


def band_of(count: int) -> str:
    return next(name for name, low, high in BANDS if low <= count and (high is None or count <= high))


def judge_part(io: RunIO, part: int, gold_table: GoldTable, frequency: Counter[str], tallies: dict[str, Tally]) -> int:
    """Adds the labelled rows that have true boxes, and returns how many they are."""
    labels = LabelTable.read_part(io, part, LabelTable.key, LabelTable.boxes)
    phrases = FlatPhrases.of(PhraseTable.read_part(io, part, PhraseTable.key, PhraseTable.phrases))
    gold = FlatGold.of(gold_table)
    both = np.intersect1d(labels.numbers, gold.rows)
    boxes = labels.boxes.keep(np.isin(labels.numbers, both)[labels.boxes.row])
    phrase = phrases.index(labels, boxes.row, boxes.phrase)
    named = named_spans(phrases.characters, gold.spans)  # (P,)
    box_i, gold_i = same_row(labels.numbers[boxes.row], gold.row)
    may_match = (named[phrase[box_i]] == gold.span[gold_i]) & (gold.span[gold_i] >= 0)
    claims = claim(boxes.xyxy, boxes.score, gold_table.boxes.xyxy, (box_i[may_match], gold_i[may_match]))

    bands = np.asarray([band_of(frequency[norm]) for norm in phrases.norm.to_pylist()], object)  # (P,)
    span_band = np.full(len(gold.spans.row) + 1, "", object)  # (S + 1,), of the last phrase that names a span
    span_band[named[named >= 0]] = bands[named >= 0]
    asked = gold.span[(gold.span >= 0) & np.isin(gold.row, both)]  # (M,)
    for name, tally in tallies.items():
        own = np.full(len(boxes), True) if name == "all" else bands[phrase] == name
        tally.add(boxes.score, claims, own, len(asked) if name == "all" else int((span_band[asked] == name).sum()))
    return len(both)
