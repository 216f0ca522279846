"""Samples of annotation files: COCO instances, and grounding in MDETR's COCO-like JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners, ImageRef
from stages.annotations import read_json, reading
from stages.geometry import box_array, from_xywh
from stages.stage import Files, RowError
from stages.train.order import shuffled
from stages.train.samples import Spans, TrainingSample
from stages.train.sets import read_image
from stages.train.wording import nouns

GOLD = "train.gold"  # the key of the files


class CocoSet:
    """COCO instances: images with boxes of categories and no captions, for detection prompts.

    Raises UserError for a file that is not there or holds something else.
    """

    pseudo = False

    def __init__(self, files: Files, annotations: str, images: str) -> None:
        data = read_json(files, annotations, GOLD)
        with reading(annotations, "COCO instances file", GOLD):
            names = {category["id"]: str(category["name"]) for category in data["categories"]}
            boxes: dict[int, list[tuple[str, Corners]]] = {}
            for annotation in data["annotations"]:
                x, y, width, height = (float(value) for value in annotation["bbox"])
                if not annotation.get("iscrowd") and width > 1 and height > 1:
                    named = names[annotation["category_id"]], from_xywh(x, y, width, height)
                    boxes.setdefault(annotation["image_id"], []).append(named)
            self.rows = [(image_of(row), boxes[row["id"]]) for row in data["images"] if row["id"] in boxes]
        self.files, self.images = files, images
        self._names = sorted(names.values())

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> TrainingSample:
        image, objects = self.rows[index]
        uri = f"{self.images.rstrip('/')}/{safe_name(image['file_name'])}"
        return TrainingSample(
            key=str(image["id"]),
            image=read_image(self.files, ImageRef(uri)),
            caption="",
            spans=(),
            boxes=box_array([]),
            phrase=np.zeros(0, dtype=np.int64),
            scores=np.zeros(0, dtype=np.float32),
            pseudo=False,
            objects=tuple(objects),
        )

    def shape(self, index: int) -> tuple[int, int]:
        return int(self.rows[index][0]["height"]), int(self.rows[index][0]["width"])

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

    def __init__(self, files: Files, annotations: str, images: str) -> None:
        data = read_json(files, annotations, GOLD)
        self.files, self.images = files, images
        self.boxes: dict[int, list[dict[str, Any]]] = {}
        with reading(annotations, "MDETR-style JSON", GOLD):
            for annotation in data["annotations"]:
                box, spans = tuple(float(value) for value in annotation["bbox"]), phrase_spans(annotation)
                if spans and box[2] > 1 and box[3] > 1:
                    own = self.boxes.setdefault(annotation["image_id"], [])
                    own.append({"bbox": box, "spans": spans})
            self.rows: list[dict[str, Any]] = [
                {**image_of(row), "caption": row["caption"]} for row in data["images"] if row["id"] in self.boxes
            ]
        self._captions: list[str] = [row["caption"] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, index: int) -> TrainingSample:
        row = self.rows[index]
        spans: dict[Spans, int] = {}
        boxes, phrase = [], []
        for annotation in self.boxes[row["id"]]:
            boxes.append(from_xywh(*annotation["bbox"]))
            phrase.append(spans.setdefault(annotation["spans"], len(spans)))
        return TrainingSample(
            key=str(row["id"]),
            image=read_image(self.files, ImageRef(f"{self.images.rstrip('/')}/{safe_name(row['file_name'])}")),
            caption=row["caption"],
            spans=tuple(spans),
            boxes=box_array(boxes),
            phrase=np.asarray(phrase, dtype=np.int64),
            scores=np.ones(len(boxes), dtype=np.float32),
            pseudo=False,
        )

    def shape(self, index: int) -> tuple[int, int]:
        return int(self.rows[index]["height"]), int(self.rows[index]["width"])

    def names(self, index: int) -> frozenset[str]:
        row = self.rows[index]
        return nouns(row["caption"], [box["spans"] for box in self.boxes[row["id"]]])

    def captions_near(self, index: int) -> list[str]:
        return self._captions

    def order(self, counts: NDArray[np.int64], seed: int, number: int, epoch: int) -> NDArray[np.int64]:
        return shuffled(counts, seed, number, epoch)

    def vocabulary(self) -> list[str]:
        return []


def image_of(row: dict[str, Any]) -> dict[str, Any]:
    """What is needed of an image row. Raises as `reading` expects."""
    sides = {"height": int(row["height"]), "width": int(row["width"])}
    return {"id": row["id"], "file_name": str(row["file_name"]), **sides}


def phrase_spans(annotation: dict[str, Any]) -> Spans:
    """The characters of the caption that an annotation of MDETR's names."""
    return tuple((int(start), int(end)) for start, end in annotation["tokens_positive"])


def safe_name(name: str) -> str:
    """A file name from an annotation file, which must stay inside the image folder. Raises RowError."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith("/") or ":" in parts[0] or ".." in parts:
        raise RowError("image_read_refused", name)
    return name
