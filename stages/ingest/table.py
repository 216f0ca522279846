"""CSV, TSV, Parquet and JSONL with captions, and addresses or images: rows in the order of the file.

Addresses are kept, never fetched: a row with an address alone is a caption without an image. GRIT's tables are read
here too; their boxes become gold.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest import delimited, json_lines, parquet
from stages.ingest.listing import base_name, cut, folder_of, list_files, plan_files, starts
from stages.ingest.records import Columns, row_of_record
from stages.ingest.row import Row
from stages.stage import Files, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

TEXT = (".csv", ".tsv", ".jsonl", ".ndjson")
PARQUET = ".parquet"


def is_table(uri: str) -> bool:
    return uri.removesuffix(".gz").endswith((*TEXT, PARQUET))


class TableSource:
    def __init__(self, config: IngestConfig) -> None:
        self.config = config

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        source = self.config.source
        found = list_files(files, source)
        tables = [file for file in found if is_table(file.uri) or file.uri == source]
        if not tables:
            raise UserError(f"ingest.source: no .csv, .tsv, .parquet or .jsonl files in {source}")
        return plan_files(tables, lambda file: self._plan_file(files, file, part_size))

    def _plan_file(self, files: Files, file: SourceFile, part_size: int) -> list[Slice]:
        with files.open_source(file.uri) as stored:
            if file.uri.endswith(PARQUET):
                columns, rows = parquet.detect(stored, base_name(file.uri), self.config)
                return cut(file, rows, part_size, {"columns": columns.to_json()})
            with _plain(stored, file.uri) as text:
                return self._plan_text(text, file, part_size)

    def _plan_text(self, text: BinaryIO, file: SourceFile, part_size: int) -> list[Slice]:
        name = base_name(file.uri)
        if json_lines.is_json_lines(file.uri):
            columns = json_lines.detect(text, name, self.config)
            text.seek(0)
            rows, offsets = starts(json_lines.lengths(text), 0, part_size)
            return cut(file, rows, part_size, {"columns": columns.to_json()}, offsets)
        dialect, columns, offset = delimited.detect(text, name, self.config)
        text.seek(offset)
        rows, offsets = starts(delimited.lengths(text, dialect), offset, part_size)
        return cut(file, rows, part_size, {"columns": columns.to_json(), "dialect": dialect.to_json()}, offsets)

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        columns = Columns(**piece.extra["columns"])
        root = self.config.images or folder_of(piece.uri)
        by_id = self._images_by_id(files) if self.config.images and not columns.image and columns.id else None
        name = base_name(piece.uri)
        records = islice(self._records(files, piece), piece.stop - piece.start)
        for number, record in enumerate(records, piece.start):
            row_id = f"{name}#{number}"
            if isinstance(record, RowError):
                yield Row(row_id, error=record)
            else:
                yield row_of_record(record, columns, root, row_id, by_id)

    def _images_by_id(self, files: Files) -> dict[str, str]:
        """For tables that name their images by the row's id alone, as GRIT does: the files of ingest.images by name."""
        found = list_files(files, str(self.config.images), "ingest.images")
        return {base_name(file.uri).rpartition(".")[0]: file.uri for file in found}

    def _records(self, files: Files, piece: Slice) -> Iterator[dict[str, Any] | RowError]:
        with files.open_source(piece.uri) as stored:
            if piece.uri.endswith(PARQUET):
                yield from parquet.read(stored, Columns(**piece.extra["columns"]), piece.start, piece.stop)
                return
            with _plain(stored, piece.uri) as text:
                text.seek(piece.extra["offset"])
                if json_lines.is_json_lines(piece.uri):
                    yield from json_lines.read(text)
                else:
                    yield from delimited.read(text, delimited.Dialect(**piece.extra["dialect"]))


@contextmanager
def _plain(file: BinaryIO, uri: str) -> Iterator[BinaryIO]:
    if not uri.endswith(".gz"):
        yield file
        return
    try:
        with gzip.open(file) as plain:
            yield plain  # type: ignore[misc]  # reads like any other file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{base_name(uri)}: damaged gzip data ({error})") from error
