"""What a source gives to ingest: one Row for every input row, usable or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stages.ingest.listing import Unused
from stages.stage import Files, ImageRef, RowError, Slice

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class GoldBox:
    """x1, y1, x2, y2 in pixels of Gold's frame; `span` is an index into the spans, -1 for none."""

    box: Box
    span: int = -1
    category: str = ""


@dataclass(frozen=True)
class Gold:
    """True boxes of a row. They are given in a frame of width x height; ingest moves them into the image's own.

    Without width and height it is the image's own, upright. A source that has true boxes gives every row its Gold, be
    it empty. `rejected`: boxes of the row that the source could not read, by the reason. `categories`: what was looked
    for in the image, where the source has a list of it: a category without a box is known to be absent.
    """

    width: float | None
    height: float | None
    spans: Sequence[tuple[int, int]] = ()
    boxes: Sequence[GoldBox] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    categories: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Row:
    """One input row. `image` says where its image lies; `data` holds the bytes where the source has them at hand.

    With `data` alone the image goes to the run's own images/; rows that share one object of bytes share the image
    there. `caption` is as the source has it, of any type. A row that cannot be used carries the `error`.
    """

    source_id: str
    caption: Any = None
    image: ImageRef | None = None
    data: bytes | None = field(default=None, repr=False)
    url: Any = None
    license: Any = None
    gold: Gold | None = None
    error: RowError | None = None


class Source(Protocol):
    unused: Unused  # once all slices are planned

    def plan(self, files: Files, part_size: int) -> Iterable[Slice]:
        """All slices in the order of the source, each of at most part_size rows. Raises UserError."""
        ...

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        """The rows of a slice in order, exactly as many as it says (`open_end` in its extra: or more)."""
        ...
