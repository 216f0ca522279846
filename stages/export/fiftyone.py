"""FiftyOne's image detection dataset: data/ with the images and labels.json beside it."""

from __future__ import annotations

from dataclasses import replace

from stages.export.json_file import encode
from stages.export.samples import Exporter, Sample


class FiftyOneExport(Exporter):
    """labels.json: {"labels": {KEY: [...]}}; boxes are [x, y, width, height] as shares of the image's sides.

    `label` is the phrase as it stands in the caption, since no list of classes is given; norm, span and caption are
    attributes.
    """

    def begin(self) -> None:
        self._file = self.open("labels.json")
        self._file.write(b'{"labels":{')

    def write(self, sample: Sample) -> None:
        detections = [
            {
                "label": sample.text(box),
                "bounding_box": [
                    box["x1"] / sample.width,
                    box["y1"] / sample.height,
                    (box["x2"] - box["x1"]) / sample.width,
                    (box["y2"] - box["y1"]) / sample.height,
                ],
                "confidence": box["score"],
                "attributes": {
                    "norm": sample.phrases[box["phrase"]]["norm"],
                    "span": sample.span(box),
                    "caption": sample.caption,
                },
            }
            for box in sample.boxes
        ]
        self._file.write((b",\n" if self.done["images"] else b"") + encode(sample.key) + b":" + encode(detections))

    def end(self) -> None:
        self._file.write(b"}}\n")

    def _copy_image(self, sample: Sample) -> None:
        super()._copy_image(replace(sample, file_name=sample.file_name.replace("images/", "data/", 1)))
