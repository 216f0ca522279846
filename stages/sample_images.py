"""All that a run knows of single pairs, for pages and drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from schemas.rows import (
    Box,
    Corners,
    DroppedSpan,
    GoldBox,
    GoldRow,
    LabelRow,
    Mask,
    MaskRow,
    Pair,
    Phrase,
    PhraseRow,
    PseudoRow,
)
from schemas.tables import GoldTable, LabelTable, MaskTable, PairTable, PhraseTable, PseudoTable, TableView
from stages.stage import RunIO

Row = TypeVar("Row")


class ShownBox(NamedTuple):
    """A box as the page and drawings show it: corners to a tenth of a pixel, the score to four digits."""

    phrase: int
    corners: Corners
    score: float
    reason: str  # why the filter took it out; "": it did not
    mask: Mask | None = None


@dataclass(frozen=True)
class SampleImage:
    """All that is shown of a pair."""

    pair: Pair
    phrases: tuple[Phrase, ...] = ()
    ungrounded: Mapping[int, str] = field(default_factory=dict)  # phrases that the label stage left out, and why
    dropped: tuple[DroppedSpan, ...] = ()  # by the phrases stage
    boxes: tuple[ShownBox, ...] = ()  # kept ones first, then by score
    gold: tuple[GoldBox, ...] = ()
    galleries: Mapping[str, int] | None = None
    thumbnail: str | None = None  # base64
    missing: str | None = None  # why there is no thumbnail

    @property
    def key(self) -> str:
        return self.pair.key


def read_samples(io: RunIO, part: int, keys: Sequence[str]) -> list[SampleImage]:
    """Caption, phrases and boxes (kept or not, with the reason), and true boxes of some pairs of one part."""
    pairs, phrases = _rows(io, PairTable, part, keys), _rows(io, PhraseTable, part, keys)
    labels, pseudo = _rows(io, LabelTable, part, keys), _rows(io, PseudoTable, part, keys)
    gold, masks = _rows(io, GoldTable, part, keys), _rows(io, MaskTable, part, keys)
    return [
        _sample(pair, phrases.get(key), labels.get(key), pseudo.get(key), gold.get(key), masks.get(key))
        for key, pair in pairs.items()
    ]


def _rows(io: RunIO, view: type[TableView[Row]], part: int, keys: Sequence[str]) -> dict[str, Row]:
    if not io.has_part(view.dataset, part):
        return {}
    table = view.read_part(io, part)
    wanted = view(table.table.filter(pc.is_in(table.key, pa.array(keys, pa.string()))))
    return dict(zip(wanted.key.to_pylist(), wanted.records(), strict=True))


def _sample(
    pair: Pair,
    phrases: PhraseRow | None,
    labels: LabelRow | None,
    pseudo: PseudoRow | None,
    gold: GoldRow | None,
    masks: MaskRow | None,
) -> SampleImage:
    out = {entry.box: entry.reason for entry in pseudo.dropped} if pseudo else {}
    kept = [i for i in range(len(labels.boxes)) if i not in out] if labels else []
    mask_of = dict(zip(kept, masks.masks, strict=True)) if masks and len(masks.masks) == len(kept) else {}
    boxes = [shown(box, out.get(i, ""), mask_of.get(i)) for i, box in enumerate(labels.boxes)] if labels else []
    return SampleImage(
        pair=pair,
        phrases=phrases.phrases if phrases else (),
        ungrounded={entry.phrase: entry.reason for entry in labels.dropped} if labels else {},
        dropped=phrases.dropped if phrases else (),
        boxes=tuple(sorted(boxes, key=lambda box: (box.reason != "", -box.score, box.phrase))),
        gold=gold.boxes if gold else (),
    )


def shown(box: Box, reason: str, mask: Mask | None = None) -> ShownBox:
    return ShownBox(box.phrase, rounded(box.corners), round(box.score, 4), reason, mask)


def rounded(corners: Corners) -> Corners:
    x1, y1, x2, y2 = (round(side, 1) for side in corners)
    return x1, y1, x2, y2
