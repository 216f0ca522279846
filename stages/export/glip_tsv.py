"""The TSV files that GLIP's own caption reader opens: images, labels (its version 1), sizes, line indexes."""

from __future__ import annotations

import base64
from typing import BinaryIO

from stages.export.json_file import encode
from stages.export.samples import Exporter, Sample, xyxy


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

    def write(self, sample: Sample) -> None:
        label = {
            "img_h": sample.height,
            "img_w": sample.width,
            "caption": sample.caption,
            "bboxes": [xyxy(box) for box in sample.boxes],
            "scores": [box["score"] for box in sample.boxes],
            "tokens_positive": [[sample.span(box)] for box in sample.boxes],
            "img_id": sample.key,
        }
        self._images.add(sample.key, base64.b64encode(sample.data))
        self._labels.add(sample.key, encode(label))
        self._sizes.add(sample.key, encode([{"height": sample.height, "width": sample.width}]))

    def end(self) -> None:
        with self.create("train.yaml") as file:
            file.write(b"img: train.tsv\nlabel: train.label.tsv\nhw: train.hw.tsv\n")
