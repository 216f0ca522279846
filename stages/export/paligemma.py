"""PaliGemma: a box is four tokens `<loc0000>` to `<loc1023>`, y before x, and stands before its phrase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from schemas.rows import Corners
from stages.export.conversations import ConversationsExport, Mention, Task
from stages.export.quantise import Size, rounded


class PaliGemmaExport(ConversationsExport):
    """`<loc0100><loc0200><loc0300><loc0400> a dog ; ...`; an answer to "caption" begins with the caption.

    A semicolon in a phrase becomes a comma, because semicolons part the objects.
    """

    prompts: ClassVar[dict[Task, tuple[str, ...]]] = {
        "caption": ("caption and detect en",),
        "locate": ("detect {phrase}",),
        "describe": ("describe {region} en",),
    }

    def boxes(self, boxes: Sequence[Corners], size: Size) -> str:
        """As many times four tokens; `_objects` names each of several boxes."""
        numbers = [rounded(box, size, (1023, 1023)) for box in boxes]
        return "".join(f"<loc{place:04d}>" for x1, y1, x2, y2 in numbers for place in (y1, x1, y2, x2))

    def captioned(self, caption: str, mentions: Sequence[Mention], size: Size) -> str:
        objects = [(mention.text, box) for mention in mentions for box in mention.boxes]
        return f"{caption} {self._objects(objects, size)}"

    def located(self, phrase: str, boxes: Sequence[Corners], size: Size) -> str:
        return self._objects([(phrase, box) for box in boxes], size)

    def _objects(self, objects: Sequence[tuple[str, Corners]], size: Size) -> str:
        return " ; ".join(f"{self.boxes([box], size)} {phrase.replace(';', ',')}" for phrase, box in objects)
