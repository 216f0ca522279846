"""Samples of annotation files: COCO instances, and grounding in MDETR's COCO-like JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.rows import ImageRef
from stages.geometry import box_array
from stages.image_headers import read_header
from stages.stage import Files, RowError, RunIO
from stages.train.columns import CocoColumns, Columns, Images, MdetrColumns, open_columns, to_text
from stages.train.order import shuffled
from stages.train.samples import Spans, TrainingSample
from stages.train.sets import read_image
from stages.train.wording import nouns


class AnnotatedSet:
    """The images of an annotation file, in the order of the file, that have boxes to train on.

    `run`: where the file's columns are kept, beside the student; None: nowhere. Raises UserError for a file that is not
    there or holds something else.
    """

    pseudo = False
    columns: ClassVar[type[Columns]]

    def __init__(self, files: Files, annotations: str, images: Images, run: RunIO | None = None) -> None:
        self.files = files
        self.rows = open_columns(files, annotations, images, self.columns, run)
        self.about: dict[str, Any] = json.loads(self.rows.schema.metadata[b"about"])
        self.unused = Counter[str](self.about["unused"])
        self._found: dict[int, tuple[int, int]] = {}  # shapes of images whose size is not declared

    def __len__(self) -> int:
        rows: int = self.rows.num_rows
        return rows

    def value(self, column: str, index: int) -> Any:
        return self.rows.column(column)[index].as_py()

    def text(self, column: str, index: int) -> str:
        return to_text(self.value(column, index))

    def boxes(self, index: int) -> NDArray[np.floating[Any]]:
        """(N, 4) in the frame of the declared size, as precise as the set's samples need them."""
        boxes: NDArray[np.floating[Any]] = self.rows.column("boxes")[index].values.flatten().to_numpy().reshape(-1, 4)
        return boxes

    def frame(self, index: int) -> tuple[int, int] | None:
        """The declared width and height."""
        width, height = self.value("width", index), self.value("height", index)
        return (width, height) if width else None

    def image(self, index: int) -> bytes:
        """Raises RowError for an image that is not there, and for a name that must not be read."""
        folder: str = self.about["folders"][self.value("folder", index)]
        return read_image(self.files, ImageRef(f"{folder.rstrip('/')}/{safe_name(self.text('file_name', index))}"))

    def shape(self, index: int) -> tuple[int, int]:
        """As declared, else from the header of the image, which is read once; (1, 1) where the image cannot be read, so
        that it will be skipped.
        """
        if frame := self.frame(index):
            return frame[1], frame[0]
        if index not in self._found:
            try:
                header = read_header(self.image(index))
                turned = header.orientation >= 5
                self._found[index] = (header.width, header.height) if turned else (header.height, header.width)
            except RowError:
                self._found[index] = (1, 1)
        return self._found[index]

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)


class CocoSet(AnnotatedSet):
    """COCO instances: images with boxes of categories and no captions, for detection prompts."""

    columns = CocoColumns

    def sample(self, index: int) -> TrainingSample:
        corners = [(x1, y1, x2, y2) for x1, y1, x2, y2 in self.boxes(index).tolist()]
        return TrainingSample(
            key=self.text("id", index),
            image=self.image(index),
            caption="",
            spans=(),
            boxes=box_array([]),
            phrase=np.zeros(0, dtype=np.int64),
            scores=np.zeros(0, dtype=np.float32),
            pseudo=False,
            objects=tuple(zip(self.categories(index), corners, strict=True)),
            frame=self.frame(index),
        )

    def categories(self, index: int) -> list[str]:
        """Of each box."""
        names: list[str] = self.about["names"]
        return [names[label] for label in self.value("labels", index)]

    def names(self, index: int) -> frozenset[str]:
        return frozenset(self.categories(index))

    def captions_near(self, index: int) -> list[str]:
        return []

    def vocabulary(self) -> list[str]:
        return sorted(self.about["names"])


class MdetrSet(AnnotatedSet):
    """Flickr30k Entities and GoldG in MDETR's COCO-like JSON: a caption per image row, spans per box."""

    columns = MdetrColumns

    def sample(self, index: int) -> TrainingSample:
        spans: dict[Spans, int] = {}
        phrase = [spans.setdefault(each, len(spans)) for each in self.spans(index)]
        return TrainingSample(
            key=self.text("id", index),
            image=self.image(index),
            caption=self.text("caption", index),
            spans=tuple(spans),
            boxes=box_array(self.boxes(index).tolist()),
            phrase=np.asarray(phrase, dtype=np.int64),
            scores=np.ones(len(phrase), dtype=np.float32),
            pseudo=False,
            frame=self.frame(index),
        )

    def spans(self, index: int) -> list[Spans]:
        """Of the phrase of each box."""
        return [tuple(zip(ends[::2], ends[1::2], strict=True)) for ends in self.value("labels", index)]

    def names(self, index: int) -> frozenset[str]:
        return nouns(self.text("caption", index), self.spans(index))

    def captions_near(self, index: int) -> Sequence[str]:
        return Captions(self.rows.column("caption"))

    def vocabulary(self) -> list[str]:
        return []


class Captions(Sequence[str]):
    """The captions of a set, each read when it is asked for."""

    def __init__(self, column: pa.Array) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: Any) -> Any:
        return to_text(self.column[index].as_py())


def safe_name(name: str) -> str:
    """A file name from an annotation file, which must stay inside the image folder, with `/` for the backslashes of
    Windows. Raises RowError.
    """
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or ":" in parts[0] or ".." in parts:
        raise RowError("image_read_refused", name)
    return "/".join(parts)
