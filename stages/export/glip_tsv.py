"""The TSV files that GLIP's own caption reader opens: images, labels (its version 1), sizes, line indexes."""

from __future__ import annotations

import base64
from typing import BinaryIO

from schemas.rows import Box
from stages.export.exporter import Exporter, LabelledImage
from stages.export.json_file import encode


class TsvFile:
    """Rows of `key TAB value`, and beside it a .lineidx file with the byte offset of each row."""

    def __init__(self, rows: BinaryIO, index: BinaryIO) -> None:
        self._rows, self._index, self._at = rows, index, 0

    def add(self, key: str, value: bytes) -> None:
        row = key.encode() + b"\t" + value + b"\n"
        self._rows.write(row)
        self._index.write(b"%d\n" % self._at)
        self._at += len(row)


class GlipTsvExport(Exporter):
    """train.tsv (base64 of the image), train.label.tsv, train.hw.tsv, each with .lineidx, and train.yaml.

    A label is `{"img_h", "img_w", "caption", "bboxes", "scores", "tokens_positive", "img_id"}`, with one list of spans
    per box, `source_id` and `license`. The images are inside, so that no images/ folder is written.
    """

    shares_images = False  # a row of images belongs to each row of labels
    images_inside = True

    def begin(self) -> None:
        self._images, self._labels, self._sizes = (self._tsv(f"train{kind}") for kind in ("", ".label", ".hw"))

    def _tsv(self, name: str) -> TsvFile:
        return TsvFile(self.open(f"{name}.tsv"), self.open(f"{name}.lineidx"))

    def can_be_read(self, box: Box, image: LabelledImage) -> bool:
        """The reader moves corners to the last pixel, drops what is empty then, and gives every later box the spans of
        the one before it."""
        right, bottom = image.width - 1, image.height - 1
        return min(box.x2, right) > max(box.x1, 0) and min(box.y2, bottom) > max(box.y1, 0)

    def write(self, image: LabelledImage) -> None:
        label = {
            "img_h": image.height,
            "img_w": image.width,
            "caption": image.caption,
            "bboxes": [list(box.corners) for box in image.boxes],
            "scores": [box.score for box in image.boxes],
            "tokens_positive": [[image.span(box)] for box in image.boxes],
            "img_id": image.key,
            "source_id": image.pair.source_id,
            "license": image.pair.license,
        }
        self._images.add(image.key, base64.b64encode(image.data))
        self._labels.add(image.key, encode(label))
        self._sizes.add(image.key, encode([{"height": image.height, "width": image.width}]))

    def end(self) -> None:
        with self.create("train.yaml") as file:
            file.write(b"img: train.tsv\nlabel: train.label.tsv\nhw: train.hw.tsv\n")
