"""CSV, TSV, Parquet, JSONL and JSON with captions, and addresses or images: rows in the order of the file.

Addresses are kept, never fetched: a row with an address alone is a caption without an image. GRIT's tables are read
here too; their boxes become gold.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice, zip_longest
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest import delimited, json_lines, json_table, parquet, sniff
from stages.ingest.image_folders import ImageFolders
from stages.ingest.listing import Unclear, Unused, cut, cut_records, list_files, offsets, plan_files
from stages.ingest.names import base_name, below, is_image, suffix_of
from stages.ingest.records import Layout, Record, images_by_name, layout_of, rows_of_record
from stages.ingest.roles import Columns, Rows, find_columns, unread
from stages.ingest.row import Row
from stages.stage import Files, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

TEXT = (".csv", ".tsv", ".jsonl", ".ndjson")
LISTS = ("txt", "token", "json")  # may be tables; which they are shows when they are looked into
_SAMPLE = 1_000


def is_table(uri: str) -> bool:
    return uri.lower().removesuffix(".gz").endswith(TEXT) or is_parquet(uri)


def is_parquet(uri: str) -> bool:
    return uri.lower().endswith(".parquet")


def _choose(found: Sequence[SourceFile], source: str) -> list[SourceFile]:
    """The files that are tables by their names; else the one that may be. Raises UserError."""
    tables = [file for file in found if is_table(file.uri) or file.uri == source]
    if tables:
        return tables
    images = {file.uri[: -len(suffix_of(file.uri)) - 1] for file in found if is_image(file.uri)}
    likely = [file for file in found if suffix_of(file.uri) in LISTS and not _is_beside(file.uri, images)]
    if len(likely) > 1:
        names = ", ".join(base_name(file.uri) for file in likely[:10])
        raise Unclear(f"ingest.source: which file of {source} has the captions? {names}; set ingest.source to that one")
    if not likely:
        raise UserError(f"ingest.source: no .csv, .tsv, .parquet or .jsonl files in {source}")
    return likely


def _is_beside(uri: str, images: Collection[str]) -> bool:
    """Whether it belongs to an image, or tells about the data set."""
    stem = uri[: -len(suffix_of(uri)) - 1]
    return stem in images or is_image(stem) or base_name(stem).lower() in ("readme", "license", "licence")


class TableSource:
    def __init__(self, config: IngestConfig) -> None:
        self.config = config
        self.unused = Unused()

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        source = self.config.source
        found = list_files(files, source)
        tables = _choose(found, source)
        folders = ImageFolders(files, source, found)
        planners = {file.uri: _Planner(self.config, files, file, folders) for file in tables}
        try:
            yield from plan_files(tables, lambda file: planners[file.uri].plan(part_size))
        finally:  # also where no more than ingest.count rows are wanted
            self._note_unused(found, planners)

    def _note_unused(self, found: Sequence[SourceFile], planners: Mapping[str, _Planner]) -> None:
        self.unused.columns = set().union(*(planner.unread for planner in planners.values()))
        with_images = any(planner.has_images for planner in planners.values())
        self.unused.files = [
            file.uri for file in found if file.uri not in planners and not (with_images and is_image(file.uri))
        ]

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        layout = Layout.from_json(piece.extra)
        by_id = images_by_name(list_files(files, layout.images, "ingest.images")) if layout.by_id else None
        name = below(piece.uri, self.config.source)
        found = (
            row
            for number, record, pairs in self._numbered(files, piece, layout)
            for row in _rows(record, pairs, f"{name}#{number}", layout, by_id)
        )
        skip = piece.extra.get("skip", 0)
        yield from islice(found, skip, skip + piece.stop - piece.start)

    def _numbered(self, files: Files, piece: Slice, layout: Layout) -> Iterator[tuple[int, Record, int]]:
        """The number in the file of each of the slice's records, the record, and how many pairs were planned for it."""
        first, last = piece.extra.get("row", piece.start), piece.extra.get("last", piece.stop)
        numbers = range(first, last)
        with files.open_source(piece.uri) as stored, plain(stored, piece.uri) as text:
            if not is_parquet(piece.uri):
                for number, record in zip(numbers, _records(text, piece)):
                    yield number, record, layout.pairs_in(record)
                return
            records = parquet.read(text, layout.columns, first, last)
            captions = parquet.read(text, Columns(layout.columns.caption), first, last) if layout.captions else ()
            for number, record, caption in zip_longest(numbers, records, captions):
                yield number, record, layout.pairs_in(caption) if layout.captions else 1


def _records(text: BinaryIO, piece: Slice) -> Iterator[Record]:
    text.seek(piece.extra["offset"])
    if "array" in piece.extra:
        return json_table.records_from(text, piece.extra["array"], piece.extra["offset"])
    if "dialect" in piece.extra:
        return delimited.read(text, delimited.Dialect(**piece.extra["dialect"]))
    return json_lines.read(text)


def _rows(record: Record, pairs: int, row_id: str, layout: Layout, by_id: Mapping[str, str] | None) -> Iterator[Row]:
    if isinstance(record, RowError):
        return iter([Row(row_id, error=record)] * pairs)
    return rows_of_record(record, layout, row_id, by_id)


class _Planner:
    """One file."""

    def __init__(self, config: IngestConfig, files: Files, file: SourceFile, folders: ImageFolders) -> None:
        self.config = config
        self.files = files
        self.file = file
        self.name = base_name(file.uri)
        self.folders = folders
        self.unread: set[str] = set()
        self.has_images = False

    def plan(self, part_size: int) -> list[Slice]:
        with self.files.open_source(self.file.uri) as stored:
            if is_parquet(self.file.uri):
                return self._plan_parquet(stored, part_size)
            with plain(stored, self.file.uri) as text:
                by_name: json_table.Kind = "lines" if json_lines.is_json_lines(self.file.uri) else ""
                kind = json_table.json_kind(text, "whole" if json_table.is_json(self.file.uri) else by_name)
                plans = {"whole": self._plan_json, "lines": self._plan_lines, "": self._plan_delimited}
                return plans[kind](text, part_size)

    def _plan_parquet(self, stored: BinaryIO, part_size: int) -> list[Slice]:
        reader = parquet.open_parquet(stored, self.name)
        layout = self._named(parquet.names_of(reader), parquet.sample(reader, stored))
        rows = reader.metadata.num_rows
        if not layout.captions:
            return cut(self.file, rows, part_size, layout.to_json())
        captions = parquet.read(stored, Columns(layout.columns.caption), 0, rows)
        return self._cut(((0, layout.pairs_in(record)) for record in captions), layout, part_size, {})

    def _plan_json(self, text: BinaryIO, part_size: int) -> list[Slice]:
        array, rows = json_table.sample(text, self.name)
        layout = self._named(_names_in(rows), rows)
        text.seek(0)
        try:
            counts = ((offset, layout.pairs_in(record)) for offset, record in json_table.records(text, array))
            return self._cut(counts, layout, part_size, {"array": array})
        except ValueError as error:
            raise UserError(f"{self.name}: {error}") from None

    def _plan_lines(self, text: BinaryIO, part_size: int) -> list[Slice]:
        rows = [record for record in islice(json_lines.read(text), _SAMPLE) if isinstance(record, dict)]
        if not rows:
            raise UserError(f"{self.name}: no line of it is a JSON object")
        layout = self._named(_names_in(rows), rows)
        text.seek(0)
        if layout.captions:
            return self._cut(_sized(json_lines.read_sized(text), 0, layout), layout, part_size, {})
        return self._cut(offsets(json_lines.lengths(text)), layout, part_size, {})

    def _plan_delimited(self, text: BinaryIO, part_size: int) -> list[Slice]:
        dialect, columns, offset = sniff.detect(text, self.name, self.config, self._find_folder)
        text.seek(offset)
        rows = [record for record in islice(delimited.read(text, dialect), _SAMPLE) if isinstance(record, dict)]
        layout = self._layout(columns, dialect.names, rows)
        extra = {"dialect": dialect.to_json()}
        text.seek(offset)
        if layout.captions:
            return self._cut(_sized(delimited.read_named(text, dialect), offset, layout), layout, part_size, extra)
        return self._cut(offsets(delimited.lengths(text, dialect), offset), layout, part_size, extra)

    def _cut(
        self, records: Iterator[tuple[int, int]], layout: Layout, part_size: int, extra: dict[str, Any]
    ) -> list[Slice]:
        return cut_records(self.file, records, part_size, {**layout.to_json(), **extra}, bool(layout.captions))

    def _named(self, names: Sequence[str], rows: Rows) -> Layout:
        return self._layout(find_columns(names, rows, self.config, self.name, self._find_folder), names, rows)

    def _layout(self, columns: Columns, names: Sequence[str], rows: Rows) -> Layout:
        layout = layout_of(columns, rows, self.config, self.file.uri, self.folders)
        self.unread = unread(names, columns)
        self.has_images = bool(columns.image) or layout.by_id
        return layout

    def _find_folder(self, names: Any) -> str:
        return self.folders.find(names, self.file.uri)


def _sized(records: Iterator[tuple[int, Record]], offset: int, layout: Layout) -> Iterator[tuple[int, int]]:
    """For `cut_records`: of records with their lengths in bytes, the first of which is at `offset`."""
    for length, record in records:
        yield offset, layout.pairs_in(record)
        offset += length


def _names_in(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


@contextmanager
def plain(file: BinaryIO, uri: str) -> Iterator[BinaryIO]:
    if not uri.lower().endswith(".gz"):
        yield file
        return
    try:
        with gzip.open(file) as unpacked:
            yield unpacked  # type: ignore[misc]  # reads like any other file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{base_name(uri)}: damaged gzip data ({error})") from error
