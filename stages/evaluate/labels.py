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

from stages.evaluate.agreement import Tally, judge, span_named
from stages.stage import RunIO, UserError

BANDS = (("1", 1, 1), ("2-9", 2, 9), ("10-99", 10, 99), ("100+", 100, None))  # name, from, to


def evaluate_labels(io: RunIO, threshold: float, progress: Callable[[int], None]) -> dict[str, Any]:
    """The figures over all parts; `progress` gets the number of images done. Raises UserError without gold.

    `failed`: how many images with true boxes the label stage rejected, by reason; they are in no figure.
    """
    parts = [part for part in io.parts() if io.has_part("labels", part) and io.has_part("gold", part)]
    if not parts:
        raise UserError("evaluate.benchmark: labels needs labels/ and gold/ in the run, and a part that has both")
    frequency = norm_counts(io, parts)
    tallies = {"all": Tally(), **{name: Tally() for name, _, _ in BANDS}}
    failed, done = Counter[str](), 0
    for part in parts:
        phrases = {row["key"]: row["phrases"] for row in io.read_part("phrases", part, ["key", "phrases"]).to_pylist()}
        gold = {row["key"]: row for row in io.read_part("gold", part).to_pylist()}
        for row in io.read_part("labels", part, ["key", "boxes"]).to_pylist():
            if row["key"] in gold:
                own = [(p["start"], p["end"], band_of(frequency[p["norm"]])) for p in phrases[row["key"]]]
                judge_row(row["boxes"], own, gold[row["key"]], tallies)
                done += 1
        failed.update(reason for key, reason in rejected(io, part) if key in gold)
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
    rows = io.read_part("rejects/label", part, ["key", "reason"]).to_pylist()
    return [(row["key"], row["reason"]) for row in rows]


def norm_counts(io: RunIO, parts: list[int]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for part in parts:
        for row in io.read_part("phrases", part, ["phrases"]).to_pylist():
            counts.update(phrase["norm"] for phrase in row["phrases"])
    return counts


def band_of(count: int) -> str:
    return next(name for name, low, high in BANDS if low <= count and (high is None or count <= high))


def judge_row(
    boxes: list[dict[str, Any]],
    phrases: list[tuple[int, int, str]],
    gold: dict[str, Any],
    tallies: dict[str, Tally],
) -> None:
    """Adds one image. phrases: start, end and band of frequency."""
    spans = [(span["start"], span["end"]) for span in gold["spans"]]
    named_by_phrase = [span_named((start, end), spans) for start, end, _ in phrases]
    true = [box for box in gold["boxes"] if box["span"] >= 0]
    scores = np.asarray([box["score"] for box in boxes], dtype=np.float32)
    right, ious = judge(
        corners(boxes),
        scores,
        np.asarray([named_by_phrase[box["phrase"]] for box in boxes], dtype=np.int64),
        corners(true),
        np.asarray([box["span"] for box in true], dtype=np.int64),
    )
    box_band = [phrases[box["phrase"]][2] for box in boxes]
    span_band = {span: band for span, (_, _, band) in zip(named_by_phrase, phrases, strict=True)}
    for name, tally in tallies.items():
        mask = np.asarray([name in ("all", band) for band in box_band], dtype=bool)
        tally.scores += scores[mask].tolist()
        tally.right += right[mask].tolist()
        tally.ious += ious[mask].tolist()
        tally.gold += sum(name == "all" or span_band.get(box["span"]) == name for box in true)


def corners(boxes: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(N, 4), also for N = 0."""
    rows = [(box["x1"], box["y1"], box["x2"], box["y2"]) for box in boxes]
    return np.asarray(rows, dtype=np.float32).reshape(-1, 4)
