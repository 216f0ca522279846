"""Boxes of phrases against gold: what is right, figures at a score, intervals over photos.

A phrase is grounded (R@1) where its best box has IoU >= 0.5 with any of its gold boxes. A label is a box above the
score asked for, after NMS inside its phrase; going down the scores it is right with IoU >= 0.5 to a gold box that no
better label of the phrase has taken, or to any box where one box may serve many labels (`shared`: COCO's categories,
where a phrase may mean any of them). On a crowd region (half of it inside) a label is not counted. Precision is per
label, recall per gold box, or, where boxes are shared, per phrase that should be found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.outputs import Grounding
from recipes.glip_photos.gold import Photo, Phrase
from recipes.glip_photos.nouns import singular_name
from stages.agreement import MATCH_IOU
from stages.geometry import iou
from stages.train.wording import WORD

SAMPLES = 1000  # of the bootstrap
Label = tuple[float, bool, int]  # score, whether it is right, the gold box that it takes or -1


@dataclass
class Judged:
    """One phrase in one photo."""

    key: str  # of the photo
    head: str
    grounded: bool
    gold: int  # boxes
    wanted: bool
    labels: list[Label] = field(default_factory=list)


class Counts(NamedTuple):
    """What figures are made of; adds up over phrases."""

    phrases: int
    grounded: int
    labels: int
    right: int
    wanted: int  # gold boxes, or phrases that should be found
    found: int


def judge(photos: Sequence[Photo], results: Sequence[Grounding], shared: bool = False) -> list[Judged]:
    """Every phrase of every photo; results as `Glip.ground` gives them."""
    judged = []
    for photo, result in zip(photos, results, strict=True):
        boxes, scores, phrase = (x.numpy() for x in (result.boxes, result.scores, result.phrase))
        for number, own in enumerate(photo.phrases):
            mine = phrase == number
            judged.append(judge_phrase(photo.key, own, boxes[mine], scores[mine], shared))
    return judged


def judge_phrase(
    key: str, phrase: Phrase, boxes: NDArray[np.float32], scores: NDArray[np.float32], shared: bool
) -> Judged:
    """Boxes (N, 4) best first, scores (N,)."""
    overlap = iou(boxes[:, None], phrase.boxes)  # (N, M)
    grounded = bool(overlap[:1].size and overlap[0].max() >= MATCH_IOU)
    one = Judged(key, head_of(phrase.text), grounded, len(phrase.boxes), phrase.wanted)
    free = np.ones(len(phrase.boxes), dtype=bool)
    for row, box, score in zip(overlap, boxes, scores.tolist(), strict=True):
        open_ = row if shared else np.where(free, row, 0)
        taken = int(open_.argmax()) if open_.size and open_.max() >= MATCH_IOU else -1
        if taken < 0 and on_crowd(box, phrase.crowds):
            continue
        if taken >= 0:
            free[taken] = False
        one.labels.append((score, taken >= 0, taken))
    return one


def head_of(text: str) -> str:
    """The last word of a phrase, in the singular."""
    words = WORD.findall(text)
    return singular_name(words[-1].lower()) if words else ""


def on_crowd(box: NDArray[np.float32], crowds: NDArray[np.float32]) -> bool:
    """Whether half of the box lies in one of the regions."""
    inner = np.minimum(box[2:], crowds[:, 2:]) - np.maximum(box[:2], crowds[:, :2])
    return bool((inner.clip(0).prod(1) >= 0.5 * (box[2:] - box[:2]).prod()).any())


def count(one: Judged, threshold: float, shared: bool) -> Counts:
    labels = [(right, taken) for score, right, taken in one.labels if score > threshold]
    hits = sum(right for right, _ in labels)
    wanted = int(one.wanted) if shared else one.gold
    found = int(one.wanted and hits > 0) if shared else hits
    return Counts(1, int(one.grounded), len(labels), hits, wanted, found)


def figures(judged: Sequence[Judged], threshold: float = 0.5, shared: bool = False) -> dict[str, Any]:
    """R@1, precision and recall of labels above the score, each with the 95% interval of a bootstrap over photos."""
    by_photo: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(len(Counts._fields), dtype=np.int64))
    for one in judged:
        by_photo[one.key] = by_photo[one.key] + np.asarray(count(one, threshold, shared))
    table = np.stack(list(by_photo.values()))  # (photos, counts)
    draws = np.random.default_rng(0).integers(len(table), size=(SAMPLES, len(table)))
    samples = np.stack([table[draw].sum(0) for draw in draws])  # (SAMPLES, counts)
    total = Counts(*table.sum(0).tolist())
    shares = {"precision": (3, 2), "recall": (5, 4)} | ({} if shared else {"recall_at_1": (1, 0)})
    return {
        "photos": len(table),
        **total._asdict(),
        **{name: round(total[part] / max(1, total[whole]), 4) for name, (part, whole) in shares.items()},
        "interval_95": {
            name: [
                round(float(x), 4)
                for x in np.quantile(samples[:, part] / np.maximum(samples[:, whole], 1), [0.025, 0.975])
            ]
            for name, (part, whole) in shares.items()
        },
    }


def curve(judged: Sequence[Judged], shared: bool = False) -> list[dict[str, float]]:
    """Precision and recall over the score."""
    rows = []
    for threshold in np.arange(2, 19) / 20:
        total = np.sum([count(one, float(threshold), shared) for one in judged], axis=0)
        precision, recall = total[3] / max(1, total[2]), total[5] / max(1, total[4])
        rows.append({"score": round(float(threshold), 2), "precision": round(precision, 4), "recall": round(recall, 4)})
    return rows


def by_head(judged: Sequence[Judged], least: int, threshold: float = 0.5) -> Iterator[dict[str, Any]]:
    """R@1 and the recall of labels for each head noun of at least so many phrases, best first."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        groups[one.head].append(one)
    rows = []
    for head, own in groups.items():
        total = Counts(*np.sum([count(one, threshold, False) for one in own], axis=0).tolist())
        if total.phrases >= least:
            shares = (total.grounded / total.phrases, total.found / max(1, total.wanted))
            rows.append((-shares[0], -shares[1], head, total.phrases))
    for grounded, recall, head, phrases in sorted(rows):
        yield {"noun": head, "phrases": phrases, "recall_at_1": round(-grounded, 3), "recall": round(-recall, 3)}
