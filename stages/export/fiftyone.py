"""FiftyOne's image detection dataset: data/ with the images and labels.json beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath
from typing import Any

from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode
from stages.geometry import to_xywh


class FiftyOneExport(Exporter):
    """labels.json: {"labels": {KEY: [...]}}; boxes are [x, y, width, height] as shares of the image's sides.

    `label` is the phrase as it stands in the caption, since no list of classes is given; norm, span, caption, source_id
    and license are attributes. Where the run has masks, the attribute `segmentation` is one as COCO's run lengths,
    since the format has none of its own; where it has scores, `region_score` and `image_score` are attributes. An image
    with several captions is one entry, KEY being the first pair's.
    """

    def begin(self) -> None:
        self._file = self.open("labels.json")
        self._file.write(b'{"labels":{')
        self._divider = b""
        self._waiting: dict[str, list[dict[str, Any]]] = {}  # of images with several captions, by the first pair's key

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
                    "source_id": image.pair.source_id,
                    "license": image.pair.license,
                    **image.region_score(box),
                    **image.image_score,
                    **image.segmentation(box),
                },
            }
            for box in image.boxes
        ]
        if image.shared:
            self._waiting.setdefault(PurePath(image.file_name).stem, []).extend(detections)
        else:
            self._add(image.key, detections)

    def _add(self, key: str, detections: list[dict[str, Any]]) -> None:
        self._file.write(self._divider + encode(key) + b":" + encode(detections))
        self._divider = b",\n"

    def end(self) -> None:
        for key, detections in self._waiting.items():
            self._add(key, detections)
        self._file.write(b"}}\n")

    def _copy_image(self, image: LabelledImage) -> None:
        super()._copy_image(replace(image, file_name=image.file_name.replace("images/", "data/", 1)))
