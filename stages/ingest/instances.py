"""COCO instances: the true boxes of images, by the images' ids."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from stages.annotations import same_id
from stages.ingest.names import stem
from stages.ingest.row import Gold, GoldBox
from stages.ingest.text import number, storable
from stages.json_stream import stream
from stages.stage import Files, UserError

KEYED = ("images", "annotations", "categories", "licenses")  # which some converters write as objects, keyed by id
Id = int | str


@dataclass
class Instances:
    """`images`: the entries of the annotation file's own list of images."""

    boxes: dict[Id, list[tuple[Id | None, list[float]]]] = field(default_factory=lambda: defaultdict(list))
    rejected: dict[Id, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    images: dict[Id, dict[str, Any]] = field(default_factory=dict)
    categories: dict[Id | None, str] = field(default_factory=dict)

    def gold(self, image_id: Id, image: dict[str, Any]) -> Gold:
        """Of an image, `image` being its entry in the captions file. The frame of the boxes is the size that the
        instances file says, else that of the captions file, else the image's own.
        """
        own = self.images.get(image_id, {})
        width, height = _size(own) or _size(image) or (None, None)
        rejected, found = Counter(self.rejected.get(image_id, ())), self.boxes.get(image_id, [])
        if _other_name(own.get("file_name"), image.get("file_name")):
            rejected = Counter({"other_image": len(found) + rejected.total()})
            return Gold(width, height, rejected=rejected, categories=self.names)
        boxes = [
            GoldBox((x, y, x + w, y + h), -1, self.categories.get(category, "")) for category, (x, y, w, h) in found
        ]
        return Gold(width, height, (), boxes, rejected, self.names)

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(filter(None, self.categories.values()))


def read_instances(files: Files, uri: str, wanted: Collection[Id | None]) -> Instances:
    """The boxes of the wanted images. Crowds, which are no single objects, are left out. Raises UserError."""
    found = Instances()
    try:
        with files.open_source(uri) as file:
            for array, _, value in stream(file, KEYED):
                entry = value if isinstance(value, dict) else {}
                image = same_id(entry.get("image_id" if array == "annotations" else "id"))
                if array == "categories" and image is not None:
                    found.categories[image] = storable(entry.get("name"))
                elif image is None or image not in wanted:
                    continue
                elif array == "images":
                    found.images.setdefault(image, entry)
                elif array == "annotations":
                    _add(found, image, entry)
    except ValueError as error:
        raise UserError(f"ingest.instances: {uri}: {error}") from None
    return found


def _add(found: Instances, image: Id, entry: dict[str, Any]) -> None:
    bbox = entry.get("bbox")
    sides = [side for value in bbox if (side := number(value)) is not None] if isinstance(bbox, list) else []
    if entry.get("iscrowd"):
        found.rejected[image]["crowd"] += 1
    elif len(sides) == 4 and isinstance(bbox, list) and len(bbox) == 4:
        found.boxes[image].append((same_id(entry.get("category_id")), sides))
    else:
        found.rejected[image]["bad_box"] += 1


def boxes_elsewhere(files: Files, uri: str, known: Collection[Id | None]) -> int:
    """How many boxes are of none of the known images. Raises UserError for a file that has no boxes."""
    elsewhere, boxes = 0, 0
    try:
        with files.open_source(uri) as file:
            for array, _, value in stream(file, KEYED):
                if array == "":
                    raise UserError(
                        f"ingest.instances: {uri} is a list; an instances file is an object with `annotations`"
                    )
                if array == "annotations":
                    entry = value if isinstance(value, dict) else {}
                    boxes += "bbox" in entry
                    elsewhere += same_id(entry.get("image_id")) not in known
    except ValueError as error:
        raise UserError(f"ingest.instances: {uri}: {error}") from None
    if not boxes:
        raise UserError(f"ingest.instances: {uri} has no `annotations` with a `bbox`")
    return elsewhere


def _size(image: dict[str, Any]) -> tuple[float, float] | None:
    width, height = number(image.get("width")), number(image.get("height"))
    return (width, height) if width and height and width > 0 and height > 0 else None


def _other_name(one: Any, other: Any) -> bool:
    """Whether two files call an image by different names; folders and prefixes (COCO_train2014_) do not matter."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    stems = [stem(name.replace("\\", "/")).lower() for name in (one, other)]
    numbers = [re.findall(r"\d+", name)[-1:] for name in stems]
    if all(numbers):
        return int(numbers[0][0]) != int(numbers[1][0])
    return stems[0] != stems[1]
