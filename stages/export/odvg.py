"""ODVG JSONL, what MM-Grounding-DINO and Open-GroundingDino train on: one caption a line, one region per box.

Open-GroundingDino makes one tensor of all regions' boxes, so that a region cannot have several. mmdetection lower-cases
the caption, strips it, and then looks for the spans that were written: they have to be those of that text.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from schemas.rows import Box
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode


class OdvgExport(Exporter):
    """odvg.jsonl: `phrase` and `tokens_positive` of a region are a span's, never merged by text. Where the run has
    masks, a region has its `segmentation` as COCO's run lengths; where it has scores, its `region_score`, and a line
    its `image_score`. Readers pass over them."""

    def begin(self) -> None:
        self._file = self.open("odvg.jsonl")

    def write(self, image: LabelledImage) -> None:
        caption = same_in_lower_case(image.caption)
        shift = len(caption) - len(caption.lstrip())
        caption = caption.strip()
        record = {
            "filename": image.file_name,
            "height": image.height,
            "width": image.width,
            "grounding": {
                "caption": caption,
                "regions": [
                    region(box, image.span(box), caption, shift) | image.region_score(box) | image.segmentation(box)
                    for box in image.boxes
                ],
            },
            **image.image_score,
            "source_id": image.pair.source_id,
            "license": image.pair.license,
        }
        self._file.write(encode(record) + b"\n")


def region(box: Box, span: list[int], caption: str, shift: int) -> dict[str, Any]:
    """`caption` is `shift` characters shorter at its beginning than the one that the span is of."""
    start, end = (min(max(place - shift, 0), len(caption)) for place in span)
    return {
        "bbox": list(box.corners),
        "phrase": caption[start:end],
        "tokens_positive": [[start, end]],
        "score": box.score,
    }


def same_in_lower_case(caption: str) -> str:
    """The caption with as many characters in lower case: where one would become two, as the dotted capital I does, its
    base letter stands."""
    return "".join(c if len(c.lower()) == 1 else unicodedata.normalize("NFD", c)[0] for c in caption)
