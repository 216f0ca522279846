"""Samples of annotation files: COCO instances, and grounding in MDETR's COCO-like JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners, ImageRef
from stages.annotations import Id, box_of, category_of, declared_size, id_of, read_json, reading
from stages.geometry import box_array, from_xywh
from stages.image_headers import read_header
from stages.stage import Files, RowError
from stages.train.order import shuffled
from stages.train.samples import Spans, TrainingSample
from stages.train.sets import read_image
from stages.train.wording import nouns

GOLD = "train.gold"  # the key of the files

SMALL = 1  # pixels: a box with such a side is none

Images = str | Mapping[str, str]  # the folder of the images, or one for each `data_source`


class CocoSet:
    """COCO instances: images with boxes of categories and no captions, for detection prompts.

    Raises UserError for a file that is not there or holds something else.
    """

    pseudo = False

    def __init__(self, files: Files, annotations: str, images: Images) -> None:
        data = read_json(files, annotations, GOLD)
        self.unused = Counter[str]()
        with reading(annotations, "COCO instances file", GOLD) as entries:
            names = {id_of(category): str(category["name"]) for category in entries.of(data, "categories")}
            boxes: dict[Id, list[tuple[str, Corners]]] = {}
            for annotation in entries.of(data, "annotations"):
                box = box_of(annotation)
                if annotation.get("iscrowd") or min(box[2:]) <= SMALL:
                    self.unused["crowd" if annotation.get("iscrowd") else "empty_box"] += 1
                else:
                    named = category_of(annotation, names), from_xywh(*box)
                    boxes.setdefault(id_of(annotation, "image_id"), []).append(named)
            rows = {id_of(row): image_of(row, images) for row in entries.of(data, "images")}
        self.rows = [(image, boxes[id]) for id, image in rows.items() if id in boxes]
        self.unused.update({"unknown_image": sum(len(own) for id, own in boxes.items() if id not in rows)})
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
        self.unused = Counter[str]()
        with reading(annotations, "MDETR-style JSON", GOLD) as entries:
            boxes: dict[Id, list[tuple[Spans, Corners]]] = {}
            for annotation in entries.of(data, "annotations"):
                box, spans = box_of(annotation), phrase_spans(annotation)
                if not spans or min(box[2:]) <= SMALL:
                    self.unused["empty_box" if spans else "phrase_not_found"] += 1
                else:
                    boxes.setdefault(id_of(annotation, "image_id"), []).append((spans, from_xywh(*box)))
            rows = {
                id_of(row): {**image_of(row, images), "caption": caption_of(row)} for row in entries.of(data, "images")
            }
        self.rows = [(image, boxes[id]) for id, image in rows.items() if id in boxes]
        self.unused.update({"unknown_image": sum(len(own) for id, own in boxes.items() if id not in rows)})
        self._captions: list[str] = [image["caption"] for image, _ in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> TrainingSample:
        row, own = self.rows[index]
        spans: dict[Spans, int] = {}
        phrase = [spans.setdefault(each, len(spans)) for each, _ in own]
        return TrainingSample(
            key=str(row["id"]),
            image=read_image(self.files, reference(row)),
            caption=row["caption"],
            spans=tuple(spans),
            boxes=box_array([box for _, box in own]),
            phrase=np.asarray(phrase, dtype=np.int64),
            scores=np.ones(len(own), dtype=np.float32),
            pseudo=False,
            frame=row["size"],
        )

    def shape(self, index: int) -> tuple[int, int]:
        return self.sizes.of(index, self.rows[index][0])

    def names(self, index: int) -> frozenset[str]:
        row, own = self.rows[index]
        return nouns(row["caption"], [spans for spans, _ in own])

    def captions_near(self, index: int) -> list[str]:
        return self._captions

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return []


def image_of(row: dict[str, Any], images: Images) -> dict[str, Any]:
    """What is needed of an image, with the folder of its file. Raises as `reading` expects."""
    folder = images if isinstance(images, str) else images.get(row["data_source"])
    if folder is None:
        raise ValueError(f"no folder in `images` for the data_source {row['data_source']!r}")
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


def caption_of(row: dict[str, Any]) -> str:
    caption = row["caption"]
    if not isinstance(caption, str):
        raise TypeError(f"caption is {str(caption)[:40]} and no text")
    return caption


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
