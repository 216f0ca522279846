"""COCO captions with a folder of images: one row per caption, in the file's order. Instances, if given, become gold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from stages.ingest.json_stream import stream, stream_from
from stages.ingest.listing import base_name, cut, folder_of, list_files
from stages.ingest.locate import locate
from stages.ingest.row import Gold, GoldBox, Row
from stages.ingest.text import storable
from stages.stage import Files, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig


class CocoSource:
    """`ingest.source`: the captions JSON, or a folder with one captions*.json. Without ingest.images, images are looked
    for in `images` beside the JSON; where there is no such folder the captions come without images.
    """

    def __init__(self, config: IngestConfig) -> None:
        self.config = config

    def plan(self, files: Files, part_size: int) -> list[Slice]:
        file = self._captions(files)
        offsets, rows, images = [], 0, -1
        try:
            with files.open_source(file.uri) as opened:
                for element in stream(opened):
                    if element.array == "images" and images < 0:
                        images = element.offset
                    if element.array == "annotations":
                        if rows % part_size == 0:
                            offsets.append(element.offset)
                        if rows == 0 and "caption" not in _object(element.value):
                            raise UserError(f"ingest.source: {file.uri} has annotations, but no captions")
                        rows += 1
        except ValueError as error:
            raise UserError(f"ingest.source: {file.uri}: {error}") from None
        if not rows:
            raise UserError(f"ingest.source: {file.uri} has no list `annotations` with captions")
        extra: dict[str, Any] = {"images_at": images, "images": self._images(files, file)}
        if self.config.instances:
            (instances,) = list_files(files, self.config.instances, "ingest.instances")
            extra |= {"instances": instances.uri, "instances_size": instances.size}
        return cut(file, rows, part_size, extra, offsets)

    def _captions(self, files: Files) -> SourceFile:
        found = list_files(files, self.config.source)
        if len(found) == 1 and found[0].uri == self.config.source:
            return found[0]
        named = [file for file in found if is_captions(file.uri)]
        if len(named) != 1:
            names = ", ".join(base_name(file.uri) for file in named) or "none"
            raise UserError(f"ingest.source: {self.config.source} should hold one captions*.json; found: {names}")
        return named[0]

    def _images(self, files: Files, captions: SourceFile) -> str:
        """The folder of the images; "" for none."""
        if self.config.images:
            return str(self.config.images)
        beside = f"{folder_of(captions.uri)}/images"
        try:
            return beside if files.list_source(beside) else ""
        except FileNotFoundError:
            return ""

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        with files.open_source(piece.uri) as file:
            elements = stream_from(file, "annotations", piece.extra["offset"])
            annotations = [_object(element.value) for element in islice(elements, piece.stop - piece.start)]
            wanted = {annotation.get("image_id") for annotation in annotations if _is_id(annotation.get("image_id"))}
            images: dict[Any, dict[str, Any]] = {}
            if piece.extra["images_at"] >= 0:
                for element in stream_from(file, "images", piece.extra["images_at"]):
                    image = _object(element.value)
                    if _is_id(image.get("id")) and image["id"] in wanted:
                        images[image["id"]] = image
        licenses = _licenses(files, piece.uri)
        gold = _boxes(files, piece.extra["instances"], wanted) if "instances" in piece.extra else None
        for number, annotation in enumerate(annotations, piece.start):
            yield _row(annotation, number, images, piece, licenses, gold)


def is_captions(uri: str) -> bool:
    return uri.endswith(".json") and base_name(uri).startswith("captions")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str))


def _row(
    annotation: dict[str, Any],
    number: int,
    images: dict[Any, dict[str, Any]],
    piece: Slice,
    licenses: dict[Any, str],
    gold: dict[Any, list[GoldBox]] | None,
) -> Row:
    image_id = annotation.get("image_id")
    image = images.get(image_id) if _is_id(image_id) else None
    name = image.get("file_name") if image else None
    source_id = f"{storable(name or image_id)}#{storable(annotation.get('id', number))}"
    if not annotation:
        return Row(source_id, error=RowError("bad_record", "the annotation is no JSON object"))
    if image is None:
        return Row(source_id, error=RowError("missing_image", f"no image of the id {image_id!r:.100} in `images`"))
    root = piece.extra["images"]
    try:
        if root and not isinstance(name, str):
            raise RowError("bad_record", "the image has no file_name")
        where = locate(str(name), root) if root else None
    except RowError as error:
        return Row(source_id, error=error)
    return Row(
        source_id,
        annotation.get("caption"),
        where,
        url=image.get("coco_url") or image.get("flickr_url"),
        license=licenses.get(image.get("license")) if _is_id(image.get("license")) else None,
        gold=None if gold is None else _gold(image, gold.get(image_id, [])),
    )


def _gold(image: dict[str, Any], boxes: list[GoldBox]) -> Gold:
    width: Any = image.get("width")
    height: Any = image.get("height")
    if not (_is_number(width) and _is_number(height) and width > 0 and height > 0):
        return Gold(1.0, 1.0)
    return Gold(float(width), float(height), (), boxes)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _licenses(files: Files, uri: str) -> dict[Any, str]:
    """Name or address by id. `licenses` stands before the long lists in every COCO file, else it is not looked for."""
    found: dict[Any, str] = {}
    with files.open_source(uri) as file:
        for element in stream(file):
            if element.array in ("images", "annotations"):
                break
            entry = _object(element.value)
            if element.array == "licenses" and _is_id(entry.get("id")):
                found[entry["id"]] = storable(entry.get("url") or entry.get("name"))
    return found


def _boxes(files: Files, uri: str, wanted: set[Any]) -> dict[Any, list[GoldBox]]:
    """The boxes of the wanted images, by image id; crowds, which are no single objects, are left out."""
    categories: dict[Any, str] = {}
    boxes: dict[Any, list[tuple[Any, list[float]]]] = {}
    try:
        with files.open_source(uri) as file:
            for array, _, value in stream(file):
                entry = _object(value)
                if array == "categories" and _is_id(entry.get("id")):
                    categories[entry["id"]] = storable(entry.get("name"))
                elif array == "annotations" and _is_id(entry.get("image_id")) and entry["image_id"] in wanted:
                    bbox = entry.get("bbox")
                    if (
                        isinstance(bbox, list)
                        and len(bbox) == 4
                        and all(map(_is_number, bbox))
                        and not entry.get("iscrowd")
                    ):
                        boxes.setdefault(entry["image_id"], []).append((entry.get("category_id"), bbox))
    except ValueError as error:
        raise UserError(f"ingest.instances: {uri}: {error}") from None
    return {
        image: [GoldBox((x, y, x + w, y + h), -1, categories.get(category, "")) for category, (x, y, w, h) in entries]
        for image, entries in boxes.items()
    }
