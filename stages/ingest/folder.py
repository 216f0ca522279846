"""A folder of images with captions in .txt files of the same name; sub-folders too.

Rows are names in sorted order. A name with an image alone or a .txt alone is a row as well, to be rejected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stages.ingest.listing import list_files
from stages.ingest.row import Row
from stages.ingest.samples import IMAGE_SUFFIXES, OTHER_IMAGES, caption_of_file
from stages.stage import Files, ImageRef, RowError, Slice, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_IMAGES = (*IMAGE_SUFFIXES, *OTHER_IMAGES)
_CAPTION_BYTES = 1 << 22


class FolderSource:
    def __init__(self, config: IngestConfig) -> None:
        self.source: str = config.source.rstrip("/")

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        names = self._names(files)
        if not any(images for _, images in names.values()):
            raise UserError(f"ingest.source: no images with .txt files in {self.source}")
        rows = list(names.items())
        for start in range(0, len(rows), part_size):
            chosen = rows[start : start + part_size]
            stop = start + len(chosen)
            yield Slice(self.source, start, stop, extra={"names_until": stop, "names_sha256": _digest(chosen)})

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        names = list(self._names(files).items())[piece.start : piece.extra["names_until"]]
        if _digest(names) != piece.extra["names_sha256"]:
            raise ValueError(f"{self.source}: files came or went since it was planned; run again")
        for name, (captions, images) in names[: piece.stop - piece.start]:
            image = ImageRef(f"{self.source}/{images[0]}") if images else None
            source_id = images[0] if images else f"{name}.txt"
            try:
                if image is None:
                    raise RowError("missing_image", "a .txt without an image of the same name")
                caption = self._caption(files, captions[0]) if captions else None
                yield Row(source_id, caption, image)
            except RowError as error:
                yield Row(source_id, error=error)

    def _names(self, files: Files) -> dict[str, tuple[list[str], list[str]]]:
        """By name without suffix, relative to the folder: (captions, images), the carried image formats first."""
        found: dict[str, tuple[list[str], list[str]]] = {}
        start = len(self.source) + 1
        for file in list_files(files, self.source):
            name, _, suffix = file.uri[start:].rpartition(".")
            kind = suffix.lower()
            if kind == "txt" or kind in _IMAGES:
                captions, images = found.setdefault(name, ([], []))
                (captions if kind == "txt" else images).append(file.uri[start:])
        for _, images in found.values():
            images.sort(key=lambda uri: _IMAGES.index(uri.rpartition(".")[2].lower()))
        return dict(sorted(found.items()))

    def _caption(self, files: Files, name: str) -> str:
        with files.open_source(f"{self.source}/{name}") as file:
            data = file.read(_CAPTION_BYTES)
        return caption_of_file(data)


def _digest(rows: list[Any]) -> str:
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogateescape")).hexdigest()
