"""Ferret: a phrase, then `[x1, y1, x2, y2]` in thousandths of the image's sides for each of its boxes."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.rows import Corners
from stages.export.conversations import ConversationsExport
from stages.export.quantise import Size, floored


class FerretExport(ConversationsExport):
    """Numbers are cut off, not rounded, and reach from 0 to 1000, as in Ferret's own loader."""

    how_to_answer = " Write boxes as [x1, y1, x2, y2]."

    def boxes(self, boxes: Sequence[Corners], size: Size) -> str:
        return " ".join(str(list(floored(box, size, 1000, 1000))) for box in boxes)

    def marked(self, text: str, boxes: str) -> str:
        return f"{text} {boxes}"

    def located(self, phrase: str, boxes: Sequence[Corners], size: Size) -> str:
        return self.marked(phrase, self.boxes(boxes, size))
