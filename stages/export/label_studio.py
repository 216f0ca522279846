"""Label Studio: one task per image with the boxes as a prediction, so that people correct instead of drawing."""

from __future__ import annotations

from typing import Any

from schemas.rows import Box, Mask
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode
from stages.export.label_studio_rle import pack
from stages.geometry import to_xywh
from stages.rle import decode

CONFIG = """<View>
  <Header value="$caption"/>
  <Image name="image" value="$image"/>
  <RectangleLabels name="phrase" toName="image" value="$phrases"/>
{brush}</View>
"""
BRUSH = """  <BrushLabels name="mask" toName="image" value="$phrases"/>
"""  # where there are masks


class LabelStudioExport(Exporter):
    """tasks.json and config.xml. The labels of a task are the phrases of its own caption (a dynamic label set).

    Where the run has masks, each is a brush beside its box. `data.image` is a local-files URL: serve the export's
    folder as Label Studio's local file root.
    """

    def begin(self) -> None:
        self._file = self.open("tasks.json")
        self._file.write(b"[")
        self._has_masks = False

    def write(self, image: LabelledImage) -> None:
        texts = [image.caption[phrase.start : phrase.end] for phrase in image.phrases]
        task = {
            "data": {
                "image": f"/data/local-files/?d={image.file_name}",
                "caption": image.caption,
                "key": image.key,
                "source_id": image.pair.source_id,
                "license": image.pair.license,
                **image.image_score,
                "phrases": [{"value": text} for text in dict.fromkeys(texts)],
            },
            "predictions": [
                {
                    "model_version": self.config.label.teacher,
                    "score": sum(box.score for box in image.boxes) / len(image.boxes),
                    "result": results(image),
                }
            ],
        }
        self._has_masks = self._has_masks or bool(image.masks)
        self._file.write((b",\n" if self.pairs else b"") + encode(task))

    def end(self) -> None:
        self._file.write(b"]\n")
        with self.create("config.xml") as file:
            file.write(CONFIG.format(brush=BRUSH if self._has_masks else "").encode())


def results(image: LabelledImage) -> list[dict[str, Any]]:
    """The rectangles, then a brush for each box with a mask."""
    numbered = list(enumerate(image.boxes))
    brushes = [brush(image, number, box, mask) for number, box in numbered if (mask := image.masks.get(box))]
    return [result(image, number, box) for number, box in numbered] + brushes


def brush(image: LabelledImage, number: int, box: Box, mask: Mask) -> dict[str, Any]:
    """The mask of a box in the run lengths of Label Studio."""
    return {
        "id": f"{image.key}-{number}-mask",
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "score": mask.score,
        "value": {
            "format": "rle",
            "rle": pack(decode(mask.counts, mask.height, mask.width)),
            "brushlabels": [image.text(box)],
        },
    }


def result(image: LabelledImage, number: int, box: Box) -> dict[str, Any]:
    """A rectangle in percent of the image's sides."""
    across, down = 100 / image.width, 100 / image.height
    x, y, width, height = to_xywh(*box.corners)
    return {
        "id": f"{image.key}-{number}",
        "type": "rectanglelabels",
        "from_name": "phrase",
        "to_name": "image",
        "original_width": image.width,
        "original_height": image.height,
        "image_rotation": 0,
        "score": box.score,
        "value": {
            "rotation": 0,
            "x": x * across,
            "y": y * down,
            "width": width * across,
            "height": height * down,
            "rectanglelabels": [image.text(box)],
        },
    }
