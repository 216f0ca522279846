"""Where image-caption pairs come from: one file per kind of source.

A source plans slices and reads the rows of a slice; which source it is, is written into every slice.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stages.ingest.listing import base_name, list_files
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


def plan(config: IngestConfig, files: Files, part_size: int) -> Iterator[Slice]:
    """The slices of the source, each with its format in `extra`. Raises UserError."""
    format = detect(config, files) if config.format == "auto" else config.format
    for piece in open_source(config, format).plan(files, part_size):
        yield replace(piece, extra={**piece.extra, "format": format})


def rows(config: IngestConfig, files: Files, piece: Slice) -> Iterator[Row]:
    """The rows of a slice, in order. Raises ValueError where the file is no longer the one that was planned."""
    if piece.size >= 0:
        (file,) = files.list_source(piece.uri)
        if file.size != piece.size:
            raise ValueError(f"{piece.uri} has changed since it was planned; run again")
    if "damaged" in piece.extra:
        return iter([Row(base_name(piece.uri), error=RowError("damaged_source", piece.extra["damaged"]))])
    return open_source(config, piece.extra["format"]).rows(files, piece)


def resolve(config: IngestConfig) -> dict[str, Any]:
    """Paths made absolute, since workers start elsewhere, and the format where the path alone tells it."""
    from stages.ingest.json_lines import is_json_lines

    if config.source == "scenes" and config.format in ("auto", "scenes"):
        return {"format": "scenes"}
    if config.format == "scenes":
        raise UserError(f"ingest.source: the format is scenes, but the source is {config.source!r}; set it to scenes")
    paths = {name: absolute(path) for name in ("source", "images", "instances") if (path := getattr(config, name))}
    if config.format == "auto" and (format := _by_name(config.source)) and not is_json_lines(config.source):
        return {**paths, "format": format}
    return paths  # of a folder, or a .jsonl, only the content tells


def absolute(path: str) -> str:
    """Of a local path, by the working directory; URIs stay."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


def detect(config: IngestConfig, files: Files) -> str:
    """What `auto` comes to: by the names in the source, and for a table by what is in it. Raises UserError."""
    from stages.ingest.coco import is_captions
    from stages.ingest.json_lines import is_json_lines
    from stages.ingest.odvg import holds_odvg

    found = list_files(files, config.source)
    names = [file.uri for file in found]
    kinds = {kind for name in names if (kind := _by_name(name))}
    if "webdataset" in kinds:
        kinds -= {"table"} if all(name.endswith(".parquet") for name in names if _by_name(name) == "table") else set()
    if "coco" in kinds and not any(map(is_captions, names)) and len(names) > 1:
        kinds.remove("coco")  # other JSON files, say img2dataset's _stats.json
    if not kinds and any(name.endswith(".txt") for name in names):
        return "folder"
    if len(kinds) != 1:
        what = f"it could be {' or '.join(sorted(kinds))}" if kinds else f"{len(names)} files, none of a known kind"
        raise UserError(f"ingest.format: what kind of source is {config.source}? {what}; set ingest.format")
    (kind,) = kinds
    lines = [name for name in names if is_json_lines(name)]
    return "odvg" if kind == "table" and lines and holds_odvg(files, lines[0]) else kind


def _by_name(uri: str) -> str:
    """The format that a file's name tells; "" for others."""
    from stages.ingest.table import is_table
    from stages.ingest.webdataset import is_tar

    if is_tar(uri):
        return "webdataset"
    if uri.endswith(".json"):
        return "coco"
    return "table" if is_table(uri) else ""
