"""COCO captions with a folder of images: one row per caption, in the file's order. Instances, if given, become gold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from stages.annotations import same_id
from stages.ingest.image_folders import ImageFolders, exists
from stages.ingest.instances import KEYED, Id, Instances, boxes_elsewhere, read_instances
from stages.ingest.listing import Unclear, Unused, cut, list_files
from stages.ingest.locate import locate
from stages.ingest.names import base_name, folder_of, is_image
from stages.ingest.row import Row
from stages.ingest.text import storable
from stages.json_stream import stream, stream_from
from stages.stage import Files, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_NAMES = 20  # of images that are looked for


class CocoSource:
    """`ingest.source`: the captions JSON, or a folder with one captions*.json. Without ingest.images, images are looked
    for beside the JSON and in the source; where they are nowhere the captions come without images.
    """

    def __init__(self, config: IngestConfig) -> None:
        self.config = config
        self.unused = Unused()

    def plan(self, files: Files, part_size: int) -> list[Slice]:
        found = list_files(files, self.config.source)
        alone = len(found) == 1 and found[0].uri == self.config.source
        file = found[0] if alone else _captions(found, self.config.source)
        look = _Look(files, file, part_size)
        root = self.config.images or self._images(files, file, found, look.names)
        extra: dict[str, Any] = {"images_at": look.images_at, "images": root}
        if self.config.instances:
            instances = self._instances(files)
            extra |= {"instances": instances.uri, "instances_size": instances.size}
        pieces = cut(file, look.rows, part_size, extra, look.offsets)
        if self.config.instances and (elsewhere := boxes_elsewhere(files, instances.uri, look.ids - {None})):
            first = {**pieces[0].extra, "boxes_elsewhere": elsewhere}
            pieces[0] = Slice(file.uri, pieces[0].start, pieces[0].stop, size=file.size, extra=first)
        used = {file.uri, extra.get("instances")}
        self.unused.files = [
            other.uri for other in found if other.uri not in used and not (root and is_image(other.uri))
        ] + self._beside(files, file, alone)
        return pieces

    def _instances(self, files: Files) -> SourceFile:
        found = list_files(files, str(self.config.instances), "ingest.instances")
        if len(found) != 1:
            raise UserError(
                f"ingest.instances: {self.config.instances} has {len(found)} files; name the JSON file itself"
            )
        return found[0]

    def _beside(self, files: Files, captions: SourceFile, alone: bool) -> list[str]:
        """The instances JSON that belongs to a captions JSON which was given by its name, where it is not used."""
        name = base_name(captions.uri)
        uri = f"{folder_of(captions.uri)}/{name.replace('captions', 'instances', 1)}"
        unused = alone and name.startswith("captions") and not self.config.instances and exists(files, uri)
        return [uri] if unused else []

    def _images(self, files: Files, captions: SourceFile, found: Sequence[SourceFile], names: Sequence[str]) -> str:
        """The folder of the images; "" for none."""
        if where := ImageFolders(files, self.config.source, found).find(names, captions.uri):
            return where
        beside = f"{folder_of(captions.uri)}/images"
        try:
            return beside if files.list_source(beside) else ""
        except FileNotFoundError:
            return ""

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        with files.open_source(piece.uri) as file:
            elements = stream_from(file, "annotations", piece.extra["offset"])
            annotations = [_object(element.value) for element in islice(elements, piece.stop - piece.start)]
            wanted = {same_id(annotation.get("image_id")) for annotation in annotations} - {None}
        images = _read_images(files, piece, wanted)
        licenses = _licenses(files, piece.uri)
        instances = read_instances(files, piece.extra["instances"], wanted) if "instances" in piece.extra else None
        for number, annotation in enumerate(annotations, piece.start):
            yield _row(annotation, number, images, piece.extra["images"], licenses, instances)


def is_captions(uri: str) -> bool:
    name = base_name(uri).lower()
    return name.endswith(".json") and name.startswith("captions")


def _captions(found: Sequence[SourceFile], source: str) -> SourceFile:
    named = [file for file in found if is_captions(file.uri)]
    if not named:
        named = [file for file in found if file.uri.lower().endswith(".json")]
    if len(named) > 1:
        raise Unclear(
            f"{source}: captions are in {' and '.join(file.uri for file in named[:6])}; set ingest.source to one"
        )
    if not named:
        raise UserError(f"ingest.source: {source} should hold one captions*.json; found: none")
    return named[0]


class _Look:
    """What planning reads of a captions JSON. `ids`: of the images that have captions; `names`: some file names."""

    def __init__(self, files: Files, file: SourceFile, part_size: int) -> None:
        self.offsets: list[int] = []
        self.rows, self.images_at = 0, -1
        self.ids: set[Id | None] = set()
        self.names: list[str] = []
        self.uri = file.uri
        try:
            with files.open_source(file.uri) as opened:
                for array, offset, value in stream(opened, KEYED):
                    self._take(array, offset, _object(value), part_size)
        except ValueError as error:
            raise UserError(f"ingest.source: {file.uri}: {error}") from None
        if not self.rows:
            raise UserError(f"ingest.source: {file.uri} has no list `annotations` with captions")

    def _take(self, array: str, offset: int, entry: dict[str, Any], part_size: int) -> None:
        if array == "":
            raise UserError(
                f"ingest.source: {self.uri}: a list begins at byte 0, where an object with `annotations` should"
            )
        if array == "images":
            self.images_at = offset if self.images_at < 0 else self.images_at
            name = entry.get("file_name")
            self.names += [name] if isinstance(name, str) and len(self.names) < _NAMES else []
        elif array == "annotations":
            if self.rows % part_size == 0:
                self.offsets.append(offset)
            if self.rows == 0 and "caption" not in entry:
                raise UserError(f"ingest.source: {self.uri} has annotations, but no captions")
            self.rows += 1
            self.ids.add(same_id(entry.get("image_id")))


def _read_images(files: Files, piece: Slice, wanted: Collection[Id | None]) -> dict[Id, dict[str, Any]]:
    """The entries of the wanted images; one whose id is that of two images says so in `error`."""
    images: dict[Id, dict[str, Any]] = {}
    if piece.extra["images_at"] < 0:
        return images
    with files.open_source(piece.uri) as file:
        for element in stream_from(file, "images", piece.extra["images_at"]):
            image = _object(element.value)
            image_id = same_id(image.get("id"))
            if image_id is None or image_id not in wanted:
                continue
            other = images.setdefault(image_id, image)
            if other.get("file_name") != image.get("file_name"):
                names = f"{storable(other.get('file_name'))} and {storable(image.get('file_name'))}"
                images[image_id] = {**other, "error": f"{names} have the same id"}
    return images


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _row(
    annotation: dict[str, Any],
    number: int,
    images: dict[Id, dict[str, Any]],
    root: str,
    licenses: dict[Id, str],
    instances: Instances | None,
) -> Row:
    image_id = same_id(annotation.get("image_id"))
    image = images.get(image_id) if image_id is not None else None
    name = image.get("file_name") if image else None
    source_id = f"{storable(name or annotation.get('image_id'))}#{storable(annotation.get('id', number))}"
    gold = None if instances is None or image_id is None else instances.gold(image_id, image or {})
    try:
        if not annotation:
            raise RowError("bad_record", "the annotation is no JSON object")
        if image is None:
            raise RowError("missing_image", f"no image of the id {annotation.get('image_id')!r:.100} in `images`")
        if "error" in image:
            raise RowError("bad_record", image["error"])
        if root and not isinstance(name, str):
            raise RowError("bad_record", "the image has no file_name")
        where = locate(str(name), root) if root else None
    except RowError as error:
        return Row(source_id, gold=gold, error=error)
    license = same_id(image.get("license"))
    return Row(
        source_id,
        annotation.get("caption"),
        where,
        url=image.get("coco_url") or image.get("flickr_url"),
        license=None if license is None else licenses.get(license),
        gold=gold,
    )


def _licenses(files: Files, uri: str) -> dict[Id, str]:
    """Name or address by id. `licenses` stands before the long lists in every COCO file, else it is not looked for."""
    found: dict[Id, str] = {}
    with files.open_source(uri) as file:
        for array, _, value in stream(file, KEYED):
            if array in ("images", "annotations"):
                break
            entry = _object(value)
            license = same_id(entry.get("id"))
            if array == "licenses" and license is not None:
                found[license] = storable(entry.get("url") or entry.get("name"))
    return found
