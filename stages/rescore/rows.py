"""What is asked about a part's pairs, and the answers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.items import BoxScores, Flags, Ints, offsets_of
from schemas.rows import Corners, ImageRef
from schemas.tables import LabelTable, PairTable, PhraseTable, ScoreTable
from stages.stage import PartIO


@dataclass(frozen=True)
class Row:
    """One labelled image. `boxes` and `phrase` are those of its n candidates."""

    key: str
    source_id: str
    caption: str
    phrases: list[str]
    image: ImageRef
    size: tuple[int, int]  # (H, W), upright
    sha256: str
    boxes: list[Corners]
    phrase: Ints  # (n,) index into `phrases`

    def texts(self, relabel: bool) -> list[str]:
        """All that the image and its crops are compared with."""
        if not len(self.phrase):
            return [self.caption]
        asked = self.phrases if relabel else [self.phrases[number] for number in self.phrase.tolist()]
        return [self.caption, *asked]


@dataclass(frozen=True)
class RowScores:
    """What was found for a row's n candidates, float32 cosines."""

    image: float
    own: NDArray[np.float32]  # (n,) of each crop with its own phrase
    best_phrase: NDArray[np.int32]  # (n,) -1: nobody asked
    best: NDArray[np.float32]  # (n,) NaN: nobody asked

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.image) and np.isfinite(self.own).all())


def read_rows(io: PartIO, min_candidate: float) -> tuple[list[Row], LabelTable, Flags]:
    """The rows of labels, that table, and which of its boxes (N,) are candidates: those with a score from
    `min_candidate` up."""
    labels = LabelTable.read(io, LabelTable.key, LabelTable.width, LabelTable.height, LabelTable.boxes)
    candidate: Flags = labels.boxes.score.astype(np.float64) >= min_candidate
    chosen = labels.boxes.keep(candidate)
    phrases = PhraseTable.read(io, PhraseTable.key, PhraseTable.caption, PhraseTable.phrases).aligned(labels.key)
    pairs = PairTable.read(io, PairTable.key, PairTable.source_id, PairTable.image, PairTable.sha256)
    pairs = pairs.aligned(labels.key)
    images = [image for image in pairs.image.refs() if image is not None]
    texts, corners = phrases.phrases.text.to_pylist(), chosen.xyxy.astype(np.float64).tolist()
    columns = zip(
        labels.key.to_pylist(),
        pairs.source_id.to_pylist(),
        phrases.caption.to_pylist(),
        phrases.phrases.slices(),
        images,  # strict: no row of labels is without one
        zip(labels.height.tolist(), labels.width.tolist(), strict=True),
        pairs.sha256.to_pylist(),
        chosen.slices(),
        strict=True,
    )
    rows = [
        Row(key, source_id, caption, texts[own], image, size, sha256, corners[boxes], chosen.phrase[boxes])
        for key, source_id, caption, own, image, size, sha256, boxes in columns
    ]
    return rows, labels, candidate


def score_table(
    rows: Sequence[Row], found: Mapping[int, RowScores], labels: LabelTable, candidate: Flags
) -> ScoreTable:
    """One row for each row that was scored, with an entry for each box of labels; those of boxes that are no candidates
    are null. `found`: by the index of the row."""
    numbers = np.asarray(sorted(found), np.int64)
    scored = np.isin(labels.boxes.row, numbers)  # (N,) boxes of these rows
    place = np.flatnonzero(candidate[scored])  # of the candidates among them
    own = np.full(int(scored.sum()), np.nan, np.float32)
    best_phrase, best = np.full(len(own), -1, np.int32), own.copy()
    if len(numbers):
        own[place] = np.concatenate([found[number].own for number in numbers])
        best_phrase[place] = np.concatenate([found[number].best_phrase for number in numbers])
        best[place] = np.concatenate([found[number].best for number in numbers])
    return ScoreTable.of_columns(
        key=[rows[number].key for number in numbers],
        image=np.asarray([found[number].image for number in numbers], np.float32),
        boxes=BoxScores(offsets_of(labels.boxes.lengths[numbers]), own, best_phrase, best),
    )
