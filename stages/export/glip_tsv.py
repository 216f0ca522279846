"""The TSV files that GLIP's own caption reader opens: images, labels (its version 1), sizes, line indexes."""

from __future__ import annotations

import base64
from typing import BinaryIO

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
    """train.tsv (base64 of the stored image), train.label.tsv, train.hw.tsv, each with .lineidx, and train.yaml.

    A label is `{"img_h", "img_w", "caption", "bboxes", "scores", "tokens_positive", "img_id"}`, with one list of spans
    per box. The images are inside, so that no images/ folder is written.
    """

    def begin(self) -> None:
        self.images = False
        self._images, self._labels, self._sizes = (self._tsv(f"train{kind}") for kind in ("", ".label", ".hw"))

    def _tsv(self, name: str) -> TsvFile:
        return TsvFile(self.open(f"{name}.tsv"), self.open(f"{name}.lineidx"))

    def write(self, image: LabelledImage) -> None:
        label = {
            "img_h": image.height,
            "img_w": image.width,
            "caption": image.caption,
            "bboxes": [list(box.corners) for box in image.boxes],
            "scores": [box.score for box in image.boxes],
            "tokens_positive": [[image.span(box)] for box in image.boxes],
            "img_id": image.key,
        }
        self._images.add(image.key, base64.b64encode(image.data))
        self._labels.add(image.key, encode(label))
        self._sizes.add(image.key, encode([{"height": image.height, "width": image.width}]))

    def end(self) -> None:
        with self.create("train.yaml") as file:
            file.write(b"img: train.tsv\nlabel: train.label.tsv\nhw: train.hw.tsv\n")
