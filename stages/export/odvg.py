"""ODVG JSONL, what MM-Grounding-DINO trains on: one image a line, one region per span, never merged by text."""

from __future__ import annotations

from typing import Any

from stages.export.json_file import encode
from stages.export.samples import Exporter, Sample, xyxy


class OdvgExport(Exporter):
    """odvg.jsonl. A region of one box has `bbox` [x1, y1, x2, y2] and `score`; of several, lists of both."""

    def begin(self) -> None:
        self._file = self.open("odvg.jsonl")

    def write(self, sample: Sample) -> None:
        regions = [region(sample, phrase, boxes) for phrase, boxes in sample.by_phrase()]
        record = {
            "filename": sample.file_name,
            "height": sample.height,
            "width": sample.width,
            "grounding": {"caption": sample.caption, "regions": regions},
        }
        self._file.write(encode(record) + b"\n")


def region(sample: Sample, phrase: dict[str, Any], boxes: list[dict[str, Any]]) -> dict[str, Any]:
    span = [phrase["start"], phrase["end"]]
    one = len(boxes) == 1
    return {
        "bbox": xyxy(boxes[0]) if one else [xyxy(box) for box in boxes],
        "phrase": sample.caption[span[0] : span[1]],
        "tokens_positive": [span],
        "score": boxes[0]["score"] if one else [box["score"] for box in boxes],
    }
