"""ODVG JSONL (Open GroundingDINO, MM-Grounding-DINO): images with grounded captions; the regions become gold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest import json_lines
from stages.ingest.image_folders import ImageFolders
from stages.ingest.listing import Unused, cut_records, list_files, offsets, plan_files
from stages.ingest.locate import locate
from stages.ingest.names import below, folder_of, is_image
from stages.ingest.row import Gold, GoldBox, Row
from stages.ingest.text import number, storable
from stages.stage import Files, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_SAMPLE = 20  # records whose images are looked for


class OdvgSource:
    """Images are looked up in ingest.images, by default in the folder of the JSONL file, else where they are found."""

    def __init__(self, config: IngestConfig) -> None:
        self.config = config
        self.unused = Unused()

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        source = self.config.source
        found = list_files(files, source)
        lines = [file for file in found if json_lines.is_json_lines(file.uri) or file.uri == source]
        if not lines:
            raise UserError(f"ingest.source: no .jsonl files in {source}")
        self.unused.files = [file.uri for file in found if file not in lines and not is_image(file.uri)]
        folders = ImageFolders(files, source, found)
        yield from plan_files(lines, lambda file: self._plan_file(files, file, folders, part_size))

    def _plan_file(self, files: Files, file: SourceFile, folders: ImageFolders, part_size: int) -> list[Slice]:
        with files.open_source(file.uri) as stored:
            if not _is_odvg(stored):
                raise UserError(f"{file.uri}: its objects have no `filename` with `grounding` or `detection`")
            stored.seek(0)
            records = (record for record in islice(json_lines.read(stored), _SAMPLE) if isinstance(record, dict))
            names = [name for record in records if isinstance(name := record.get("filename"), str)]
            found = "" if self.config.images else folders.find(names, file.uri)
            stored.seek(0)
            extra = {"images": self.config.images or found or folder_of(file.uri)}
            return cut_records(file, offsets(json_lines.lengths(stored)), part_size, extra)

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        name = below(piece.uri, self.config.source)
        with files.open_source(piece.uri) as stored:
            stored.seek(piece.extra["offset"])
            for number, record in enumerate(islice(json_lines.read(stored), piece.stop - piece.start), piece.start):
                if isinstance(record, RowError):
                    yield Row(f"{name}#{number}", error=record)
                else:
                    yield _row(record, piece.extra["images"], name, number)


def holds_odvg(files: Files, uri: str) -> bool:
    """Whether the first object of a plain JSONL file is an ODVG record."""
    with files.open_source(uri) as stored:
        return _is_odvg(stored)


def _is_odvg(stored: BinaryIO) -> bool:
    first = next((record for record in json_lines.read(stored) if isinstance(record, dict)), {})
    return "filename" in first and ("grounding" in first or "detection" in first)


def _row(record: dict[str, Any], root: str, name: str, line: int) -> Row:
    """`name`: the path of the JSONL file below the source, in whose folder the record's image is named."""
    image, grounding = record.get("filename"), record.get("grounding")
    folder = folder_of(name)
    source_id = f"{folder}/{storable(image)}" if folder else storable(image)
    gold = None
    try:
        if not isinstance(image, str) or not image:
            source_id = f"{name}#{line}"
            raise RowError("bad_record", "there is no filename")
        if not isinstance(grounding, dict):
            raise RowError("missing_caption", "a detection record: it has boxes, but no caption")
        gold = gold_of_regions(record, grounding)
        return Row(source_id, grounding.get("caption"), locate(image, root), gold=gold)
    except RowError as error:
        lost = Gold(None, None, rejected={"pair_rejected": _boxes_in(record)})
        return Row(source_id, gold=gold or lost, error=error)


def _boxes_in(record: dict[str, Any]) -> int:
    """How many boxes a record has, as far as that can be told."""
    lists = [(record.get("grounding"), "regions"), (record.get("detection"), "instances")]
    found = [part.get(key) for part, key in lists if isinstance(part, dict)]
    return sum(len(boxes) for boxes in found if isinstance(boxes, list))


def gold_of_regions(record: dict[str, Any], grounding: dict[str, Any]) -> Gold:
    """One gold box per box of a region, under each of the region's spans. Raises RowError: bad_record."""
    caption, regions = grounding.get("caption"), grounding.get("regions") or []
    width, height = number(record.get("width")), number(record.get("height"))
    if not (width and height and width > 0 and height > 0):
        width = height = None
    if not isinstance(caption, str) or not isinstance(regions, list):
        return Gold(width, height, rejected={"pair_rejected": _boxes_in(record)})
    spans: dict[tuple[int, int], int] = {}
    boxes: list[GoldBox] = []
    not_found = 0
    for region in regions:
        if not isinstance(region, dict):
            raise RowError("bad_record", "a region is no JSON object")
        own, places = _boxes(region.get("bbox")), _spans(region, caption)
        not_found += 0 if places else len(own)
        for span in places:
            index = spans.setdefault(span, len(spans))
            boxes += [GoldBox(box, index) for box in own]
    return Gold(width, height, list(spans), boxes, {"phrase_not_found": not_found} if not_found else {})


def _spans(region: dict[str, Any], caption: str) -> list[tuple[int, int]]:
    """tokens_positive where it is given; else where the phrase first stands in the caption."""
    given = region.get("tokens_positive")
    if given:
        if not all(isinstance(s, list) and len(s) == 2 and all(isinstance(i, int) for i in s) for s in given):
            raise RowError("bad_record", "tokens_positive is no list of [start, end]")
        return [(s[0], s[1]) for s in given]
    phrases = region.get("phrase")
    listed = phrases if isinstance(phrases, list) else [phrases]
    starts = [(caption.find(phrase), len(phrase)) for phrase in listed if isinstance(phrase, str) and phrase]
    return [(start, start + length) for start, length in starts if start >= 0]


def _boxes(bbox: Any) -> list[tuple[float, float, float, float]]:
    many = bbox if isinstance(bbox, list) and bbox and isinstance(bbox[0], list) else [bbox]
    for box in many:
        if not isinstance(box, list) or len(box) != 4 or None in map(number, box):
            raise RowError("bad_record", "a bbox is not [x1, y1, x2, y2]")
    return [(float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in many]
