"""Shikra: a phrase, then `[0.123,0.456,0.789,0.900]`, shares of the image's sides; `;` parts boxes of one phrase."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.rows import Corners
from stages.export.conversations import ConversationsExport
from stages.export.quantise import Size, scaled


class ShikraExport(ConversationsExport):
    """The sides are those of the image itself. A trainer that pads images to squares has to move the boxes along."""

    how_to_answer = " Write boxes as [x1,y1,x2,y2]."

    def boxes(self, boxes: Sequence[Corners], size: Size) -> str:
        written = [",".join(f"{share:.3f}" for share in scaled(box, size, (1, 1))) for box in boxes]
        return f"[{';'.join(written)}]"
