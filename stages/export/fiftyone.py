"""FiftyOne's image detection dataset: data/ with the images and labels.json beside it."""

from __future__ import annotations

from dataclasses import replace

from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode
from stages.geometry import to_xywh


class FiftyOneExport(Exporter):
    """labels.json: {"labels": {KEY: [...]}}; boxes are [x, y, width, height] as shares of the image's sides.

    `label` is the phrase as it stands in the caption, since no list of classes is given; norm, span and caption are
    attributes.
    """

    def begin(self) -> None:
        self._file = self.open("labels.json")
        self._file.write(b'{"labels":{')

    def write(self, image: LabelledImage) -> None:
        detections = [
            {
                "label": image.text(box),
                "bounding_box": [
                    side / whole
                    for side, whole in zip(to_xywh(*box.corners), (image.width, image.height) * 2, strict=True)
                ],
                "confidence": box.score,
                "attributes": {
                    "norm": image.phrases[box.phrase].norm,
                    "span": image.span(box),
                    "caption": image.caption,
                },
            }
            for box in image.boxes
        ]
        self._file.write((b",\n" if self.done["images"] else b"") + encode(image.key) + b":" + encode(detections))

    def end(self) -> None:
        self._file.write(b"}}\n")

    def _copy_image(self, image: LabelledImage) -> None:
        super()._copy_image(replace(image, file_name=image.file_name.replace("images/", "data/", 1)))
