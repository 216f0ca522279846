"""All that a run knows of single pairs, for pages and drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import (
    Box,
    BoxScore,
    Corners,
    DroppedSpan,
    GoldBox,
    LabelRow,
    Mask,
    MaskRow,
    Pair,
    Phrase,
    PseudoRow,
    ScoreRow,
)
from schemas.tables import GoldTable, LabelTable, MaskTable, PairTable, PhraseTable, PseudoTable, ScoreTable, TableView
from stages.stage import RunIO

Row = TypeVar("Row")


class ShownBox(NamedTuple):
    """A box as the page and drawings show it: corners to a tenth of a pixel, the score to four digits."""

    phrase: int
    corners: Corners
    score: float
    reason: str  # why the filter took it out; "": it did not
    mask: Mask | None = None
    crop: float | None = None  # cosine of its crop with its phrase, where rescore has one
    better: tuple[int, float] | None = None  # another phrase that fits its crop better, and that one's cosine


@dataclass(frozen=True)
class SampleImage:
    """All that is shown of a pair."""

    pair: Pair
    phrases: tuple[Phrase, ...] = ()
    ungrounded: Mapping[int, str] = field(default_factory=dict)  # phrases that the label stage left out, and why
    dropped: tuple[DroppedSpan, ...] = ()  # by the phrases stage
    boxes: tuple[ShownBox, ...] = ()  # kept ones first, then by score
    gold: tuple[GoldBox, ...] = ()
    fit: float | None = None  # cosine of image and caption, where rescore has one
    galleries: Mapping[str, int] | None = None
    thumbnail: str | None = None  # base64
    missing: str | None = None  # why there is no thumbnail

    @property
    def key(self) -> str:
        return self.pair.key


def read_samples(io: RunIO, part: int, keys: Sequence[str]) -> list[SampleImage]:
    """Caption, phrases and boxes (kept or not, with the reason), and true boxes of some pairs of one part."""
    pairs, phrases = rows_of(io, PairTable, part, keys), rows_of(io, PhraseTable, part, keys)
    labels, pseudo = rows_of(io, LabelTable, part, keys), rows_of(io, PseudoTable, part, keys)
    gold, masks = rows_of(io, GoldTable, part, keys), rows_of(io, MaskTable, part, keys)
    scores = rows_of(io, ScoreTable, part, keys)
    return [
        SampleImage(
            pair=pair,
            phrases=phrases[key].phrases if key in phrases else (),
            ungrounded={entry.phrase: entry.reason for entry in labels[key].dropped} if key in labels else {},
            dropped=phrases[key].dropped if key in phrases else (),
            boxes=_boxes(labels.get(key), pseudo.get(key), masks.get(key), scores.get(key)),
            gold=gold[key].boxes if key in gold else (),
            fit=scores[key].image if key in scores else None,
        )
        for key, pair in pairs.items()
    ]


def rows_of(io: RunIO, view: type[TableView[Row]], part: int, keys: Sequence[str]) -> dict[str, Row]:
    """The rows of some keys of one part, by key; none where the run does not have the dataset."""
    if not io.has_part(view.dataset, part):
        return {}
    table = view.read_part(io, part)
    wanted = view(table.table.filter(pc.is_in(table.key, pa.array(keys, pa.string()))))
    return dict(zip(wanted.key.to_pylist(), wanted.records(), strict=True))


def _boxes(
    labels: LabelRow | None, pseudo: PseudoRow | None, masks: MaskRow | None, scores: ScoreRow | None
) -> tuple[ShownBox, ...]:
    """Those of labels, kept ones first; these with the phrase and the score that the filter has given them."""
    if labels is None:
        return ()
    out = {entry.box: entry.reason for entry in pseudo.dropped} if pseudo else {}
    kept = [i for i in range(len(labels.boxes)) if i not in out]
    mask_of = dict(zip(kept, masks.masks, strict=True)) if masks and len(masks.masks) == len(kept) else {}
    given = dict(zip(kept, pseudo.boxes, strict=True)) if pseudo and len(pseudo.boxes) == len(kept) else {}
    seen = dict(enumerate(scores.boxes)) if scores else {}
    boxes = [
        shown(given.get(i, box), out.get(i, ""), mask_of.get(i), seen.get(i)) for i, box in enumerate(labels.boxes)
    ]
    return tuple(sorted(boxes, key=lambda box: (box.reason != "", -box.score, box.phrase)))


def shown(box: Box, reason: str, mask: Mask | None = None, score: BoxScore | None = None) -> ShownBox:
    crop, better = (score.score if score else None), None
    if score and score.best_phrase is not None and score.best_score is not None:
        if score.best_phrase == box.phrase:
            crop = score.best_score
        else:
            better = score.best_phrase, score.best_score
    return ShownBox(box.phrase, rounded(box.corners), round(box.score, 4), reason, mask, crop, better)


def rounded(corners: Corners) -> Corners:
    x1, y1, x2, y2 = (round(side, 1) for side in corners)
    return x1, y1, x2, y2
