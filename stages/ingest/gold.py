"""True boxes of a source row, moved into the frame of its image; every box that the source has is used or counted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas import rows
from stages.frames import to_upright
from stages.geometry import Floats, clip
from stages.images import ImageInfo
from stages.ingest.row import Gold


class GoldCount:
    """The true boxes of a part: in the source = used + rejected. A box counts once for each caption of its image."""

    def __init__(self, elsewhere: int = 0) -> None:
        self.seen = False  # whether the source gives true boxes, be they none
        self.used = 0
        self.rejected = Counter({"unknown_image": elsewhere} if elsewhere else {})
        self.categories: frozenset[str] = frozenset()  # that were looked for

    def row(self, key: str, gold: Gold | None, info: ImageInfo | None, caption: str) -> rows.GoldRow:
        """One row of the gold dataset; a row without true boxes has empty lists."""
        self.seen = self.seen or gold is not None
        if gold is not None and gold.categories is not self.categories:
            self.categories |= gold.categories
        row, rejected = gold_row(key, gold, info, caption)
        self.used += len(row.boxes)
        self.rejected += rejected
        return row

    def reject(self, gold: Gold | None) -> None:
        """All boxes of a row that is rejected itself."""
        if gold is not None:
            self.rejected += Counter({"pair_rejected": len(gold.boxes)}) + Counter(gold.rejected)

    def notes(self) -> dict[str, Any]:
        """For the commit record."""
        if not self.seen and not self.rejected:
            return {}
        rejected = dict(sorted(self.rejected.items()))
        return {"gold": {"in": self.used + self.rejected.total(), "used": self.used, "rejected": rejected}}

    def unused(self) -> dict[str, int]:
        return {f"true boxes ({reason})": number for reason, number in sorted(self.rejected.items())}


def gold_row(key: str, gold: Gold | None, info: ImageInfo | None, caption: str) -> tuple[rows.GoldRow, Counter[str]]:
    """The row of the gold dataset, and the boxes that are not in it by their reasons (codes of REJECTED_GOLD)."""
    if gold is None:
        return rows.GoldRow(key, (), ()), Counter()
    rejected, boxes = Counter(gold.rejected), []
    spans = [span for span in gold.spans if 0 <= span[0] < span[1] <= len(caption)]
    number = {span: index for index, span in enumerate(spans)} | {None: -1}
    given = np.array([box.box for box in gold.boxes], np.float64).reshape(-1, 4)
    moved = to_image_frame(given, gold, info)
    judged = zip(gold.boxes, is_empty(given), is_empty(moved), moved.tolist(), strict=True)
    for box, empty, outside, (x1, y1, x2, y2) in judged:
        span = gold.spans[box.span] if box.span >= 0 else None
        if empty or outside:
            rejected["empty_box" if empty else "outside_image"] += 1
        elif span not in number:
            rejected["span_outside_caption"] += 1
        else:
            boxes.append(rows.GoldBox(number[span], x1, y1, x2, y2, box.category))
    return rows.GoldRow(key, tuple(rows.Span(start, end) for start, end in spans), tuple(boxes)), rejected


def is_empty(boxes: Floats) -> NDArray[np.bool_]:
    """(N,): which of the boxes (N, 4) have no area."""
    return (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])


def to_image_frame(boxes: Floats, gold: Gold, info: ImageInfo | None) -> Floats:
    """(N, 4) from the frame that the source gives its boxes in to upright pixels of the image, cut at its borders.

    Without an image the boxes stay in their frame.
    """
    declared = None if gold.width is None or gold.height is None else (gold.width, gold.height)
    if info is not None:
        return to_upright(boxes, declared, (info.width, info.height), info.orientation)
    return boxes if declared is None else clip(boxes, *declared)
