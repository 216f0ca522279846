"""One row of every dataset as a frozen record: the only place where column names and types live.

The Arrow schemas (`schemas/records.py`) are derived from these classes, and so is what the columnar views
(`schemas/tables.py`) read. Keys are 12 digits: part (7) + row in the part's slice (5). Boxes are absolute pixels x1,
y1, x2, y2, float32, half-open (x2 - x1 is the width), in the EXIF-upright frame. Spans are character offsets
[start, end) into the caption exactly as stored.

Nothing here imports numpy or pyarrow, so that a record costs the start of a program nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

# The Arrow type of a number stands behind its Python type; str, bytes and bool have only one.
Int8 = Annotated[int, "int8"]
Int32 = Annotated[int, "int32"]
Int64 = Annotated[int, "int64"]
Float32 = Annotated[float, "float32"]

Corners = tuple[float, float, float, float]  # x1, y1, x2, y2
CORNERS = ("x1", "y1", "x2", "y2")  # columns of every box


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Where the bytes of an image lie: the whole file at `uri` (offset < 0), or a byte range of it.

    A relative uri is relative to the run folder.
    """

    uri: str
    offset: Int64 = -1
    length: Int64 = -1


@dataclass(frozen=True, slots=True)
class Pair:
    """pairs: an image with its caption. A caption without an image has null in all that describes one."""

    key: str
    source_id: str
    caption: str
    image: ImageRef | None
    width: Int32 | None  # pixels, decoded and upright
    height: Int32 | None
    orientation: Int8 | None  # EXIF value, 1 to 8
    sha256: str | None  # of the stored image bytes
    license: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of the caption."""

    start: Int32
    end: Int32


@dataclass(frozen=True, slots=True)
class GoldBox:
    """A true box. `span` is an index into the row's spans, -1 for none; `category` is empty where it has none."""

    span: Int32
    x1: Float32
    y1: Float32
    x2: Float32
    y2: Float32
    category: str

    @property
    def corners(self) -> Corners:
        return self.x1, self.y1, self.x2, self.y2


@dataclass(frozen=True, slots=True)
class GoldRow:
    """gold: the true boxes of an image, where the source has them."""

    key: str
    spans: tuple[Span, ...]
    boxes: tuple[GoldBox, ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase: `caption[start:end] == text`. `head` is its noun, `norm` what is counted; both in lower case."""

    start: Int32
    end: Int32
    text: str
    head: str
    norm: str


@dataclass(frozen=True, slots=True)
class DroppedSpan:
    """What the phrases stage left out; `reason` is a code of `schemas.reasons.DROPPED_PHRASE`."""

    start: Int32
    end: Int32
    reason: str


@dataclass(frozen=True, slots=True)
class PhraseRow:
    """phrases: the noun phrases of a caption."""

    key: str
    caption: str
    phrases: tuple[Phrase, ...]
    dropped: tuple[DroppedSpan, ...]


@dataclass(frozen=True, slots=True)
class ExpressionColumns:
    """Columns of phrases beside those of `PhraseRow`, where `phrases.expressions` is on: for each phrase the characters
    of its referring expression, those of the phrase itself where it does not grow."""

    expressions: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A box that the teacher has found; `phrase` is an index into the row's phrases."""

    phrase: Int32
    x1: Float32
    y1: Float32
    x2: Float32
    y2: Float32
    score: Float32

    @property
    def corners(self) -> Corners:
        return self.x1, self.y1, self.x2, self.y2


@dataclass(frozen=True, slots=True)
class DroppedPhrase:
    """A phrase that could not be grounded; `reason` is a code of `schemas.reasons.DROPPED_PHRASE`."""

    phrase: Int32
    reason: str


@dataclass(frozen=True, slots=True)
class LabelRow:
    """labels: every box of an image at or above the score floor."""

    key: str
    width: Int32
    height: Int32
    boxes: tuple[Box, ...]
    dropped: tuple[DroppedPhrase, ...]


@dataclass(frozen=True, slots=True)
class DroppedBox:
    """A box that the filter took out, by its index in labels; `reason` is a code of `schemas.reasons.DROPPED_BOX`."""

    box: Int32
    reason: str


@dataclass(frozen=True, slots=True)
class PseudoRow:
    """pseudo: the boxes of a row of labels that passed the filter."""

    key: str
    width: Int32
    height: Int32
    boxes: tuple[Box, ...]
    dropped: tuple[DroppedBox, ...]


@dataclass(frozen=True, slots=True)
class Reject:
    """rejects/STAGE: a row that the stage could not process; `reason` is a code of `schemas.reasons.REJECTED`."""

    key: str
    source_id: str
    stage: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Curation:
    """curation: whether a pair is kept, and why not. `duplicate_of` is a key of this run, or BENCHMARK:ID."""

    key: str
    keep: bool
    reason: str | None
    duplicate_of: str | None
    cluster: Int32 | None
    similarity: Float32 | None


@dataclass(frozen=True, slots=True)
class BoxScore:
    """A second opinion on a box of labels: how well its own phrase fits, and the phrase of the row that fits best.

    `score` is null for a box that was not asked about, the other two also where only its own phrase was."""

    score: Float32 | None
    best_phrase: Int32 | None
    best_score: Float32 | None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """scores: `image` is how well image and caption fit; `boxes` are aligned with those of labels."""

    key: str
    image: Float32
    boxes: tuple[BoxScore, ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """The mask of a box as COCO's run lengths: `counts` in its compressed form, for height x width pixels."""

    counts: bytes
    height: Int32
    width: Int32
    score: Float32


@dataclass(frozen=True, slots=True)
class MaskRow:
    """masks: aligned with the boxes of pseudo."""

    key: str
    masks: tuple[Mask, ...]
