"""What people judged, as true boxes to train on (`train.gold: [{source: reviews}]`).

A box that was right is a true one, where it was corrected its better place. A box that was wrong is known not to show
its phrase. Nothing is known of the rest of the image and of the caption, so that a phrase trains inside of its judged
boxes alone. A phrase whose things were all drawn, or that is not in the image, trains everywhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.records import part_of
from schemas.rows import Corners, Pair
from schemas.tables import PairTable
from stages.geometry import box_array
from stages.review.journal import ABSENT, RIGHT, THERE, UNSURE, Judgement, read_journals
from stages.stage import RowError, RunIO
from stages.train.order import shuffled
from stages.train.samples import WRONG, TrainingSample
from stages.train.sets import read_image
from stages.train.wording import nouns

Span = tuple[int, int]


@dataclass
class Judged:
    """What is known of a pair: (span, corners) of right and of wrong boxes; spans of which everything is known."""

    right: list[tuple[Span, Corners]] = field(default_factory=list)
    wrong: list[tuple[Span, Corners]] = field(default_factory=list)
    whole: list[Span] = field(default_factory=list)

    @property
    def spans(self) -> list[Span]:
        return sorted({*(span for span, _ in self.right + self.wrong), *self.whole})


def known_boxes(judgements: Sequence[Judgement]) -> dict[str, Judged]:
    """By key. Of several reviewers the majority decides; a unit that divides them teaches nothing."""
    by_unit: defaultdict[int, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        if judgement.verdict != UNSURE:
            by_unit[judgement.number].append(judgement)
    found: defaultdict[str, Judged] = defaultdict(Judged)
    for said in by_unit.values():
        yes = [judgement for judgement in said if judgement.verdict in (RIGHT, THERE)]
        if 2 * len(yes) != len(said):
            _add(found[said[0].key], (yes or said)[0], positive=2 * len(yes) > len(said))
    return {key: judged for key, judged in sorted(found.items()) if judged.spans}


def _add(judged: Judged, judgement: Judgement, positive: bool) -> None:
    span = judgement.start, judgement.end
    if judgement.box is not None:
        place = judgement.corrected or judgement.box
        (judged.right if positive else judged.wrong).append((span, place if positive else judgement.box))
    elif positive or judgement.verdict == ABSENT:
        judged.right += [(span, box) for box in judgement.boxes if positive]
        judged.whole.append(span)


class ReviewSet:
    """The judged pairs of a run."""

    pseudo = False

    def __init__(self, io: RunIO) -> None:
        self.io = io
        self.unused = Counter[str]()
        known = known_boxes(read_journals(io))
        parts = {part_of(key) for key in known} & set(io.parts())
        pairs = [pair for part in sorted(parts) for pair in PairTable.read_part(io, part).records()]
        self.rows: list[tuple[Pair, Judged]] = [(pair, known[pair.key]) for pair in pairs if pair.key in known]
        there = {pair.key for pair, _ in self.rows}
        self.unused["unknown_image"] = sum(len(judged.right) for key, judged in known.items() if key not in there)

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> TrainingSample:
        pair, judged = self.rows[index]
        if pair.image is None:
            raise RowError("missing_image", f"{pair.key}: a caption without an image")
        spans, height_width = judged.spans, self.shape(index)
        everywhere = (0.0, 0.0, float(height_width[1]), float(height_width[0]))
        wrong = [*judged.wrong, *((span, everywhere) for span in judged.whole)]
        boxes = [*judged.right, *wrong]
        return TrainingSample(
            key=pair.key,
            image=read_image(self.io, pair.image),
            caption=pair.caption,
            spans=tuple((span,) for span in spans),
            boxes=box_array([corners for _, corners in boxes]),
            phrase=np.asarray([spans.index(span) for span, _ in boxes], dtype=np.int64),
            scores=np.asarray([1.0] * len(judged.right) + [WRONG] * len(wrong), dtype=np.float32),
            pseudo=False,
            partial=True,
        )

    def shape(self, index: int) -> tuple[int, int]:
        pair, _ = self.rows[index]
        return pair.height or 1, pair.width or 1

    def names(self, index: int) -> frozenset[str]:
        pair, judged = self.rows[index]
        return nouns(pair.caption, [(span,) for span in sorted({span for span, _ in judged.right})])

    def captions_near(self, index: int) -> list[str]:
        return [pair.caption for pair, _ in self.rows]

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        """None: categories are not judged."""
        return []
