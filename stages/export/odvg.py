"""ODVG JSONL, what MM-Grounding-DINO trains on: one image a line, one region per span, never merged by text."""

from __future__ import annotations

from typing import Any

from schemas.rows import Box, Phrase
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode


class OdvgExport(Exporter):
    """odvg.jsonl. A region of one box has `bbox` [x1, y1, x2, y2] and `score`; of several, lists of both."""

    def begin(self) -> None:
        self._file = self.open("odvg.jsonl")

    def write(self, image: LabelledImage) -> None:
        regions = [region(image, phrase, boxes) for phrase, boxes in image.by_phrase()]
        record = {
            "filename": image.file_name,
            "height": image.height,
            "width": image.width,
            "grounding": {"caption": image.caption, "regions": regions},
        }
        self._file.write(encode(record) + b"\n")


def region(image: LabelledImage, phrase: Phrase, boxes: list[Box]) -> dict[str, Any]:
    span = [phrase.start, phrase.end]
    one = len(boxes) == 1
    return {
        "bbox": list(boxes[0].corners) if one else [list(box.corners) for box in boxes],
        "phrase": image.caption[span[0] : span[1]],
        "tokens_positive": [span],
        "score": boxes[0].score if one else [box.score for box in boxes],
    }
