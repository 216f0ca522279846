"""Where image-caption pairs come from: one file per kind of source.

A source plans slices and reads the rows of a slice; which source it is, is written into every slice.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stages.ingest.names import below
from stages.ingest.options import check_options
from stages.ingest.row import Row, Source
from stages.stage import Files, RowError, Slice, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

SOURCES = {
    "scenes": "stages.ingest.scenes:ScenesSource",
    "webdataset": "stages.ingest.webdataset:WebdatasetSource",
    "table": "stages.ingest.table:TableSource",
    "grit": "stages.ingest.table:TableSource",
    "coco": "stages.ingest.coco:CocoSource",
    "folder": "stages.ingest.folder:FolderSource",
    "odvg": "stages.ingest.odvg:OdvgSource",
}


def open_source(config: IngestConfig, format: str) -> Source:
    """`config`: the resolved ingest section."""
    module, _, name = SOURCES[format].partition(":")
    source: Source = getattr(importlib.import_module(module), name)(config)
    return source


def planned_format(config: IngestConfig, files: Files) -> str:
    """The format, known or found out, for which the options of the config fit. Raises UserError."""
    from stages.ingest.detect import detect

    format = detect(config, files) if config.format == "auto" else str(config.format)
    check_options(config, format)
    return format


def plan(source: Source, format: str, files: Files, part_size: int) -> Iterator[Slice]:
    """The slices of the source, each with its format in `extra`. Raises UserError."""
    for piece in source.plan(files, part_size):
        yield replace(piece, extra={**piece.extra, "format": format})


def rows(config: IngestConfig, files: Files, piece: Slice) -> Iterator[Row]:
    """The rows of a slice, in order. Raises ValueError where the file is no longer the one that was planned."""
    if piece.size >= 0:
        (file,) = files.list_source(piece.uri)
        if file.size != piece.size:
            raise ValueError(f"{piece.uri} has changed since it was planned; run again")
    if "damaged" in piece.extra:
        name = below(piece.uri, config.source)
        return iter([Row(name, error=RowError("damaged_source", piece.extra["damaged"]))])
    return open_source(config, piece.extra["format"]).rows(files, piece)


def resolve(config: IngestConfig) -> dict[str, Any]:
    """Paths made absolute, since workers start elsewhere, and the format where the path alone tells it.

    Raises UserError for options that the format does not use.
    """
    from stages.ingest.detect import by_name

    if config.source == "scenes" and config.format in ("auto", "scenes"):
        check_options(config, "scenes")
        return {"format": "scenes"}
    if config.format == "scenes":
        raise UserError(f"ingest.source: the format is scenes, but the source is {config.source!r}; set it to scenes")
    paths = {name: absolute(path) for name in ("source", "images", "instances") if (path := getattr(config, name))}
    format = by_name(config.source) if config.format == "auto" else config.format
    if format:
        check_options(config, format)
    return {**paths, "format": format} if format else paths  # of a folder, or a .json, only the content tells


def absolute(path: str) -> str:
    """Of a local path, by the working directory; URIs stay."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))
