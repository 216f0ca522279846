"""Label Studio: one task per image with the boxes as a prediction, so that people correct instead of drawing."""

from __future__ import annotations

from typing import Any

from schemas.rows import Box
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode
from stages.geometry import to_xywh

CONFIG = """<View>
  <Header value="$caption"/>
  <Image name="image" value="$image"/>
  <RectangleLabels name="phrase" toName="image" value="$phrases"/>
</View>
"""


class LabelStudioExport(Exporter):
    """tasks.json and config.xml. The labels of a task are the phrases of its own caption (a dynamic label set).

    `data.image` is a local-files URL: serve the export's folder as Label Studio's local file root.
    """

    def begin(self) -> None:
        self._file = self.open("tasks.json")
        self._file.write(b"[")
        with self.create("config.xml") as file:
            file.write(CONFIG.encode())

    def write(self, image: LabelledImage) -> None:
        texts = [image.caption[phrase.start : phrase.end] for phrase in image.phrases]
        task = {
            "data": {
                "image": f"/data/local-files/?d={image.file_name}",
                "caption": image.caption,
                "key": image.key,
                "source_id": image.pair.source_id,
                "license": image.pair.license,
                "phrases": [{"value": text} for text in dict.fromkeys(texts)],
            },
            "predictions": [
                {
                    "model_version": self.config.label.teacher,
                    "score": sum(box.score for box in image.boxes) / len(image.boxes),
                    "result": [result(image, i, box) for i, box in enumerate(image.boxes)],
                }
            ],
        }
        self._file.write((b",\n" if self.pairs else b"") + encode(task))

    def end(self) -> None:
        self._file.write(b"]\n")


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
