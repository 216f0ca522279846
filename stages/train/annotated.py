"""Samples of annotation files: COCO instances, and grounding in MDETR's COCO-like JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners, ImageRef
from stages.annotations import declared_size, read_json, reading, same_id
from stages.geometry import box_array, from_xywh
from stages.image_headers import read_header
from stages.stage import Files, RowError
from stages.train.order import shuffled
from stages.train.samples import Spans, TrainingSample
from stages.train.sets import read_image
from stages.train.wording import nouns

GOLD = "train.gold"  # the key of the files

Images = str | Mapping[str, str]  # the folder of the images, or one for each `data_source`


class CocoSet:
    """COCO instances: images with boxes of categories and no captions, for detection prompts.

    Raises UserError for a file that is not there or holds something else.
    """

    pseudo = False

    def __init__(self, files: Files, annotations: str, images: Images) -> None:
        data = read_json(files, annotations, GOLD)
        with reading(annotations, "COCO instances file", GOLD):
            names = {same_id(category["id"]): str(category["name"]) for category in data["categories"]}
            boxes: dict[int | str | None, list[tuple[str, Corners]]] = {}
            for annotation in data["annotations"]:
                x, y, width, height = (float(value) for value in annotation["bbox"])
                if not annotation.get("iscrowd") and width > 1 and height > 1:
                    named = names[same_id(annotation["category_id"])], from_xywh(x, y, width, height)
                    boxes.setdefault(same_id(annotation["image_id"]), []).append(named)
            rows = [(row, boxes.get(same_id(row["id"]))) for row in data["images"]]
            self.rows = [(image_of(row, images), objects) for row, objects in rows if objects]
        self.files, self.sizes = files, ImageSizes(files)
        self._names = sorted(names.values())

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> TrainingSample:
        image, objects = self.rows[index]
        return TrainingSample(
            key=str(image["id"]),
            image=read_image(self.files, reference(image)),
            caption="",
            spans=(),
            boxes=box_array([]),
            phrase=np.zeros(0, dtype=np.int64),
            scores=np.zeros(0, dtype=np.float32),
            pseudo=False,
            objects=tuple(objects),
            frame=image["size"],
        )

    def shape(self, index: int) -> tuple[int, int]:
        return self.sizes.of(index, self.rows[index][0])

    def names(self, index: int) -> frozenset[str]:
        return frozenset(category for category, _ in self.rows[index][1])

    def captions_near(self, index: int) -> list[str]:
        return []

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return self._names


class MdetrSet:
    """Flickr30k Entities and GoldG in MDETR's COCO-like JSON: a caption per image row, spans per box.

    Raises UserError for a file that is not there or holds something else.
    """

    pseudo = False

    def __init__(self, files: Files, annotations: str, images: Images) -> None:
        data = read_json(files, annotations, GOLD)
        self.files, self.sizes = files, ImageSizes(files)
        self.boxes: dict[int | str | None, list[dict[str, Any]]] = {}
        with reading(annotations, "MDETR-style JSON", GOLD):
            for annotation in data["annotations"]:
                box, spans = tuple(float(value) for value in annotation["bbox"]), phrase_spans(annotation)
                if spans and box[2] > 1 and box[3] > 1:
                    own = self.boxes.setdefault(same_id(annotation["image_id"]), [])
                    own.append({"bbox": box, "spans": spans})
            self.rows: list[dict[str, Any]] = [
                {**image_of(row, images), "caption": row["caption"]}
                for row in data["images"]
                if same_id(row["id"]) in self.boxes
            ]
        self._captions: list[str] = [row["caption"] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> TrainingSample:
        row = self.rows[index]
        spans: dict[Spans, int] = {}
        boxes, phrase = [], []
        for annotation in self.boxes[same_id(row["id"])]:
            boxes.append(from_xywh(*annotation["bbox"]))
            phrase.append(spans.setdefault(annotation["spans"], len(spans)))
        return TrainingSample(
            key=str(row["id"]),
            image=read_image(self.files, reference(row)),
            caption=row["caption"],
            spans=tuple(spans),
            boxes=box_array(boxes),
            phrase=np.asarray(phrase, dtype=np.int64),
            scores=np.ones(len(boxes), dtype=np.float32),
            pseudo=False,
            frame=row["size"],
        )

    def shape(self, index: int) -> tuple[int, int]:
        return self.sizes.of(index, self.rows[index])

    def names(self, index: int) -> frozenset[str]:
        row = self.rows[index]
        return nouns(row["caption"], [box["spans"] for box in self.boxes[same_id(row["id"])]])

    def captions_near(self, index: int) -> list[str]:
        return self._captions

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return []


def image_of(row: dict[str, Any], images: Images) -> dict[str, Any]:
    """What is needed of an image row, with the folder of its file. Raises as `reading` expects."""
    folder = images if isinstance(images, str) else images.get(row["data_source"])
    if folder is None:
        raise ValueError(f"no folder in `images` for the data_source {row['data_source']!r} of the image {row['id']}")
    return {"id": row["id"], "folder": folder, "file_name": str(row["file_name"]), "size": declared_size(row)}


class ImageSizes:
    """(height, width) of images: as declared, else from the header of the file, which is read once."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self._found: dict[int, tuple[int, int]] = {}

    def of(self, index: int, image: dict[str, Any]) -> tuple[int, int]:
        """Of sample `index`, whose image it is; (1, 1) where the image cannot be read, so that it will be skipped."""
        if image["size"] is not None:
            width, height = image["size"]
            return height, width
        if index not in self._found:
            try:
                header = read_header(read_image(self.files, reference(image)))
                turned = header.orientation >= 5
                self._found[index] = (header.width, header.height) if turned else (header.height, header.width)
            except RowError:
                self._found[index] = (1, 1)
        return self._found[index]


def reference(image: dict[str, Any]) -> ImageRef:
    """Raises RowError for a name that must not be read."""
    return ImageRef(f"{image['folder'].rstrip('/')}/{safe_name(image['file_name'])}")


def phrase_spans(annotation: dict[str, Any]) -> Spans:
    """The characters of the caption that an annotation of MDETR's names."""
    return tuple((int(start), int(end)) for start, end in annotation["tokens_positive"])


def safe_name(name: str) -> str:
    """A file name from an annotation file, which must stay inside the image folder, with `/` for the backslashes of
    Windows. Raises RowError.
    """
    parts = name.replace("\\", "/").split("/")
    if not parts[0] or ":" in parts[0] or ".." in parts:
        raise RowError("image_read_refused", name)
    return "/".join(parts)
