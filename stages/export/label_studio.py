"""Label Studio: one task per image with the boxes as a prediction, so that people correct instead of drawing."""

from __future__ import annotations

from typing import Any

from stages.export.json_file import encode
from stages.export.samples import Exporter, Sample

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

    def write(self, sample: Sample) -> None:
        texts = [sample.caption[phrase["start"] : phrase["end"]] for phrase in sample.phrases]
        task = {
            "data": {
                "image": f"/data/local-files/?d={sample.file_name}",
                "caption": sample.caption,
                "key": sample.key,
                "phrases": [{"value": text} for text in dict.fromkeys(texts)],
            },
            "predictions": [
                {
                    "model_version": self.config.label.teacher,
                    "score": sum(box["score"] for box in sample.boxes) / len(sample.boxes),
                    "result": [result(sample, i, box) for i, box in enumerate(sample.boxes)],
                }
            ],
        }
        self._file.write((b",\n" if self.done["images"] else b"") + encode(task))

    def end(self) -> None:
        self._file.write(b"]\n")


def result(sample: Sample, number: int, box: dict[str, Any]) -> dict[str, Any]:
    """A rectangle in percent of the image's sides."""
    across, down = 100 / sample.width, 100 / sample.height
    return {
        "id": f"{sample.key}-{number}",
        "type": "rectanglelabels",
        "from_name": "phrase",
        "to_name": "image",
        "original_width": sample.width,
        "original_height": sample.height,
        "image_rotation": 0,
        "score": box["score"],
        "value": {
            "rotation": 0,
            "x": box["x1"] * across,
            "y": box["y1"] * down,
            "width": (box["x2"] - box["x1"]) * across,
            "height": (box["y2"] - box["y1"]) * down,
            "rectanglelabels": [sample.text(box)],
        },
    }
