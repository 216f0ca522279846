"""ODVG JSONL (Open GroundingDINO, MM-Grounding-DINO): images with grounded captions; the regions become gold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest import json_lines
from stages.ingest.listing import base_name, cut, folder_of, list_files, plan_files, starts
from stages.ingest.locate import locate
from stages.ingest.row import Gold, GoldBox, Row
from stages.ingest.text import storable
from stages.stage import Files, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig


class OdvgSource:
    """Images are looked up in ingest.images, by default in the folder of the JSONL file."""

    def __init__(self, config: IngestConfig) -> None:
        self.config = config

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        source = self.config.source
        found = [file for file in list_files(files, source) if json_lines.is_json_lines(file.uri) or file.uri == source]
        if not found:
            raise UserError(f"ingest.source: no .jsonl files in {source}")
        return plan_files(found, lambda file: self._plan_file(files, file, part_size))

    def _plan_file(self, files: Files, file: SourceFile, part_size: int) -> list[Slice]:
        with files.open_source(file.uri) as stored:
            if not _is_odvg(stored):
                raise UserError(f"{file.uri}: its objects have no `filename` with `grounding` or `detection`")
            stored.seek(0)
            rows, offsets = starts(json_lines.lengths(stored), 0, part_size)
        return cut(file, rows, part_size, {}, offsets)

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        root = self.config.images or folder_of(piece.uri)
        with files.open_source(piece.uri) as stored:
            stored.seek(piece.extra["offset"])
            for number, record in enumerate(islice(json_lines.read(stored), piece.stop - piece.start), piece.start):
                row_id = f"{base_name(piece.uri)}#{number}"
                try:
                    yield _row(record, root, row_id)
                except RowError as error:
                    yield Row(row_id, error=error)


def holds_odvg(files: Files, uri: str) -> bool:
    """Whether the first object of a plain JSONL file is an ODVG record."""
    with files.open_source(uri) as stored:
        return _is_odvg(stored)


def _is_odvg(stored: BinaryIO) -> bool:
    first = next((record for record in json_lines.read(stored) if isinstance(record, dict)), {})
    return "filename" in first and ("grounding" in first or "detection" in first)


def _row(record: dict[str, Any] | RowError, root: str, row_id: str) -> Row:
    if isinstance(record, RowError):
        raise record
    name = record.get("filename")
    if not isinstance(name, str):
        raise RowError("bad_record", "there is no filename")
    source_id = storable(name) or row_id
    grounding = record.get("grounding")
    try:
        if not isinstance(grounding, dict):
            raise RowError("missing_caption", "a detection record: it has boxes, but no caption")
        return Row(source_id, grounding.get("caption"), locate(name, root), gold=gold_of_regions(record, grounding))
    except RowError as error:
        return Row(source_id, error=error)


def gold_of_regions(record: dict[str, Any], grounding: dict[str, Any]) -> Gold:
    """One gold box per box of a region, under each of the region's spans. Raises RowError: bad_record."""
    caption, regions = grounding.get("caption"), grounding.get("regions") or []
    if not isinstance(caption, str) or not isinstance(regions, list):
        return Gold(1.0, 1.0)
    spans: dict[tuple[int, int], int] = {}
    boxes = []
    for region in regions:
        if not isinstance(region, dict):
            raise RowError("bad_record", "a region is no JSON object")
        for span in _spans(region, caption):
            index = spans.setdefault(span, len(spans))
            boxes += [GoldBox(box, index) for box in _boxes(region.get("bbox"))]
    return Gold(_side(record.get("width")), _side(record.get("height")), list(spans), boxes)


def _spans(region: dict[str, Any], caption: str) -> list[tuple[int, int]]:
    """tokens_positive where it is given; else where the phrase first stands in the caption."""
    given = region.get("tokens_positive")
    if given:
        if not all(isinstance(s, list) and len(s) == 2 and all(isinstance(i, int) for i in s) for s in given):
            raise RowError("bad_record", "tokens_positive is no list of [start, end]")
        return [(s[0], s[1]) for s in given if 0 <= s[0] < s[1] <= len(caption)]
    phrases = region.get("phrase")
    listed = phrases if isinstance(phrases, list) else [phrases]
    starts = [(caption.find(phrase), len(phrase)) for phrase in listed if isinstance(phrase, str) and phrase]
    return [(start, start + length) for start, length in starts if start >= 0]


def _boxes(bbox: Any) -> list[tuple[float, float, float, float]]:
    many = bbox if isinstance(bbox, list) and bbox and isinstance(bbox[0], list) else [bbox]
    for box in many:
        if not isinstance(box, list) or len(box) != 4 or not all(_is_number(side) for side in box):
            raise RowError("bad_record", "a bbox is not [x1, y1, x2, y2]")
    return [(float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in many]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _side(value: Any) -> float:
    if not _is_number(value) or value <= 0:
        raise RowError("bad_record", "the image's width and height are missing")
    return float(value)
