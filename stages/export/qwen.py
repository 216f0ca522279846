"""Qwen2.5-VL and Qwen3-VL: JSON objects with `bbox_2d` and `label`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from schemas.rows import Box, Corners
from stages.export.conversations import ConversationsExport, Mention
from stages.export.exporter import LabelledImage
from stages.export.quantise import LONGEST, Numbers, Size, rounded, smart_size


class Qwen3Export(ConversationsExport):
    """Corners are whole numbers from 0 to 1000, relative to the image's sides.

    The answer to "caption" is the caption, then the JSON on a line of its own.
    """

    how_to_answer = " Report bounding boxes in JSON."

    def numbers(self, box: Corners, size: Size) -> Numbers:
        return rounded(box, size, (1000, 1000))

    def boxes(self, boxes: Sequence[Corners], size: Size) -> str:
        return ", ".join(str(list(self.numbers(box, size))) for box in boxes)

    def captioned(self, caption: str, mentions: Sequence[Mention], size: Size) -> str:
        objects = [(mention.text, box) for mention in mentions for box in mention.boxes]
        return f"{caption}\n{self._json(objects, size)}"

    def located(self, phrase: str, boxes: Sequence[Corners], size: Size) -> str:
        return self._json([(phrase, box) for box in boxes], size)

    def _json(self, objects: Sequence[tuple[str, Corners]], size: Size) -> str:
        records = [{"bbox_2d": self.numbers(box, size), "label": phrase} for phrase, box in objects]
        return json.dumps(records, ensure_ascii=False)


class Qwen25Export(Qwen3Export):
    """Corners are pixels of the image as the model's processor resizes it: to multiples of 28, and to at most
    `max_pixels`, which has to be that of the training."""

    takes = frozenset({"seed", "max_pixels"})
    unreadable = "of images too long for the reader"
    FACTOR = 28
    MIN_PIXELS = 56 * 56

    def numbers(self, box: Corners, size: Size) -> Numbers:
        return rounded(box, size, smart_size(size, self.FACTOR, self.MIN_PIXELS, self.options.max_pixels))

    def can_be_read(self, box: Box, image: LabelledImage) -> bool:
        return max(image.width, image.height) <= LONGEST * min(image.width, image.height)
