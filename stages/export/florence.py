"""Florence-2: a phrase, then four tokens `<loc_0>` to `<loc_999>` for each of its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from schemas.rows import Corners
from stages.export.conversations import ConversationsExport, Mention, Task
from stages.export.quantise import Size, floored


class FlorenceExport(ConversationsExport):
    """The prompts are Florence-2's own tasks. "caption" is its phrase grounding: the caption is asked, and the answer
    has each phrase with its boxes. The answers of the other tasks name their phrase, too.
    """

    prompts: ClassVar[dict[Task, tuple[str, ...]]] = {
        "caption": ("<CAPTION_TO_PHRASE_GROUNDING>{caption}",),
        "locate": ("<OPEN_VOCABULARY_DETECTION>{phrase}",),
        "describe": ("<REGION_TO_CATEGORY>{region}",),
    }

    def boxes(self, boxes: Sequence[Corners], size: Size) -> str:
        return "".join(f"<loc_{number}>" for box in boxes for number in floored(box, size, 1000, 999))

    def captioned(self, caption: str, mentions: Sequence[Mention], size: Size) -> str:
        return "".join(self.located(mention.text, mention.boxes, size) for mention in mentions)

    def located(self, phrase: str, boxes: Sequence[Corners], size: Size) -> str:
        return phrase + self.boxes(boxes, size)

    def described(self, phrase: str, box: Corners, size: Size) -> str:
        return self.located(phrase, [box], size)
