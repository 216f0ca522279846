"""Kosmos-2: `<phrase>a dog</phrase><object><patch_index_0044><patch_index_0863></object>`, on 32 x 32 patches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from schemas.rows import Corners
from stages.export.conversations import ConversationsExport, Task
from stages.export.quantise import Size, patches

SIDE = 32  # patches


class KosmosExport(ConversationsExport):
    """A box is its first and its last patch; boxes of one phrase are parted by a token of their own."""

    prompts: ClassVar[dict[Task, tuple[str, ...]]] = {
        "caption": ("<grounding>An image of", "<grounding>Describe this image in detail:"),
        "locate": ("<grounding><phrase>{phrase}</phrase>",),
        "describe": ("<grounding><phrase>It</phrase>{region} is",),
    }

    def boxes(self, boxes: Sequence[Corners], size: Size) -> str:
        pairs = [patches(box, size, SIDE) for box in boxes]
        tokens = [f"<patch_index_{first:04d}><patch_index_{last:04d}>" for first, last in pairs]
        return f"<object>{'</delimiter_of_multi_objects/>'.join(tokens)}</object>"

    def marked(self, text: str, boxes: str) -> str:
        return f"<phrase>{text}</phrase>{boxes}"
