"""A folder of images with captions in .txt files of the same name; sub-folders too.

Rows are names in sorted order. A name with an image alone or a caption alone is a row as well, to be rejected. Where
img2dataset's sidecar lies beside a sub-folder, its rows are the rows of that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stages.ingest import sidecar
from stages.ingest.grit import gold_of_record
from stages.ingest.listing import Unused, list_files
from stages.ingest.names import (
    IMAGES,
    base_name,
    below,
    folder_of,
    folders_of_captions,
    is_image,
    suffix_of,
    without_suffix,
)
from stages.ingest.row import Row
from stages.ingest.samples import TEXTS, caption_of_file, parse_object
from stages.stage import Files, ImageRef, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_CAPTION_BYTES = 1 << 22


@dataclass
class Entry:
    """Files of one name: paths below the source, the image formats that shards carry first. `key` is the name."""

    key: str
    images: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    jsons: list[str] = field(default_factory=list)
    duplicate: bool = False

    def read(self) -> list[str]:
        """The files that the row is made of."""
        return [*self.images[:1], *(self.texts[:1] or self.jsons[:1])]


class FolderSource:
    def __init__(self, config: IngestConfig) -> None:
        self.source: str = config.source.rstrip("/")
        self.unused = Unused()

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        found = list_files(files, self.source)
        shards = self._shards(files, found)
        entries = _entries(self.source, _outside(found, shards))
        if not shards and not any(entry.images for entry in entries):
            raise UserError(f"ingest.source: no images with .txt files in {self.source}")
        _check_captions(files, self.source, entries)
        gone = self._without_folder(files, found, shards) if shards else []
        self._note_unused(found, shards, gone, entries)
        for folder, side in shards.items():
            yield from sidecar.plan(files, SourceFile(folder, -1), side, part_size, {"folder": True})
        for side in gone:
            yield from sidecar.plan_without_shard(files, side, part_size, f"{base_name(side.uri)[: -len('.parquet')]}/")
        yield from self._cut(entries, part_size)

    def _note_unused(
        self,
        found: Sequence[SourceFile],
        shards: dict[str, SourceFile],
        gone: Sequence[SourceFile],
        entries: Sequence[Entry],
    ) -> None:
        read = {f"{self.source}/{name}" for entry in entries for name in entry.read()}
        read |= {side.uri for side in (*shards.values(), *gone)}
        self.unused.files = [f.uri for f in found if f.uri not in read and folder_of(f.uri) not in shards]

    def _cut(self, entries: Sequence[Entry], part_size: int) -> Iterator[Slice]:
        for start in range(0, len(entries), part_size):
            chosen = entries[start : start + part_size]
            stop = start + len(chosen)
            yield Slice(self.source, start, stop, extra={"names_until": stop, "names_sha256": _digest(chosen)})

    def _shards(self, files: Files, found: Sequence[SourceFile]) -> dict[str, SourceFile]:
        """Folders with a sidecar of img2dataset beside them, the source itself among them."""
        sidecars = [file for file in found if sidecar.is_sidecar(file.uri)]
        if not sidecars:
            try:
                sidecars = files.list_source(f"{self.source}.parquet")
            except FileNotFoundError:
                return {}
        folders = {folder_of(file.uri) for file in found if is_image(file.uri)}
        shards = {file.uri[: -len(".parquet")]: file for file in sidecars}
        return {folder: file for folder, file in shards.items() if folder in folders}

    def _without_folder(
        self, files: Files, found: Sequence[SourceFile], shards: dict[str, SourceFile]
    ) -> list[SourceFile]:
        """Sidecars whose folder is gone."""
        known = {side.uri for side in shards.values()}
        return [f for f in found if f.uri not in known and sidecar.is_sidecar(f.uri) and sidecar.lists_rows(files, f)]

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        if "gone" in piece.extra:
            prefix = f"{below(piece.uri, self.source)[: -len('.parquet')]}/"
            records = sidecar.read(files, piece.uri)
            yield from sidecar.rows_without_shard(records, piece, self.source, prefix)
            return
        if "folder" in piece.extra:
            shard = _Folder(files, piece.uri)
            prefix = "" if piece.uri == self.source else f"{below(piece.uri, self.source)}/"
            records = sidecar.read(files, piece.extra["sidecar"])
            yield from sidecar.rows(shard, records, piece, self.source, prefix)
            return
        found = list_files(files, self.source)
        entries = _entries(self.source, _outside(found, self._shards(files, found)))
        chosen = entries[piece.start : piece.extra["names_until"]]
        if _digest(chosen) != piece.extra["names_sha256"]:
            raise ValueError(f"{self.source}: files came or went since it was planned; run again")
        folder = _Folder(files, self.source, entries=())
        for entry in chosen[: piece.stop - piece.start]:
            yield folder.row(entry, (entry.images or entry.texts or entry.jsons)[0])


def _check_captions(files: Files, source: str, entries: Sequence[Entry]) -> None:
    """Raises UserError for Flickr30k Entities, whose sentences have marks in them, five to a file."""
    first = next((entry.texts[0] for entry in entries if entry.images and entry.texts), None)
    if first is not None:
        with files.open_source(f"{source}/{first}") as file:
            if b"[/EN#" in file.read(4096):
                raise UserError(
                    f"ingest.source: {source}/{first} has the marks of Flickr30k Entities, not plain captions"
                )


def _outside(found: Iterable[SourceFile], shards: Collection[str]) -> list[SourceFile]:
    return [file for file in found if folder_of(file.uri) not in shards]


def _entries(folder: str, found: Iterable[SourceFile]) -> list[Entry]:
    """Images and captions by their name without suffix; a caption may also have an image's whole name before its own
    suffix (0.jpg.txt), and then it is that image's.
    """
    names = [file.uri[len(folder) + 1 :] for file in found]
    captions = [name for name in names if suffix_of(name) in (*TEXTS, "json")]
    images = [name for name in names if is_image(name)]
    own = {without_suffix(name) for name in captions} & set(images)
    moved = folders_of_captions(images, captions)
    entries: dict[str, Entry] = {}
    for name in images:
        key = name if name in own else without_suffix(name)
        entries.setdefault(key, Entry(key)).images.append(name)
    for name in captions:
        key = without_suffix(name)
        if folder_of(name) in moved:
            key = f"{moved[folder_of(name)]}/{base_name(key)}".removeprefix("/")
        entry = entries.setdefault(key, Entry(key))
        (entry.jsons if suffix_of(name) == "json" else entry.texts).append(name)
    for entry in entries.values():
        entry.images.sort(key=lambda name: IMAGES.index(suffix_of(name)))
        entry.texts.sort(key=lambda name: TEXTS.index(suffix_of(name)))
    kept = (entry for entry in entries.values() if entry.images or entry.texts)  # a .json alone is anything
    return sorted(kept, key=lambda entry: entry.key)


class _Folder:
    """The files of one folder as samples, and how they become rows."""

    whole = True

    def __init__(self, files: Files, uri: str, entries: Sequence[Entry] | None = None) -> None:
        self.files = files
        self.uri = uri
        if entries is None:
            entries = _entries(uri, [file for file in list_files(files, uri) if folder_of(file.uri) == uri])
        self.samples = list(entries)

    def row(self, sample: Entry, source_id: str, record: dict[str, Any] | None = None) -> Row:
        """`record`: the sidecar's row of the sample."""
        gold = None
        try:
            if not sample.images:
                raise RowError("missing_image", "a .txt without an image of the same name")
            caption = self._text(sample.texts[0]) if sample.texts else None
            if caption is None and record is None and sample.jsons:
                record = parse_object(self._read(sample.jsons[0]))
            gold = gold_of_record(record) if record else None
            return Row(
                source_id,
                caption if caption is not None or record is None else record.get("caption"),
                ImageRef(f"{self.uri}/{sample.images[0]}"),
                url=record.get("url") if record else None,
                license=record.get("license") if record else None,
                gold=gold,
            )
        except RowError as error:
            return Row(source_id, gold=gold, error=error)

    def _text(self, name: str) -> str:
        return caption_of_file(self._read(name))

    def _read(self, name: str) -> bytes:
        with self.files.open_source(f"{self.uri}/{name}") as file:
            return file.read(_CAPTION_BYTES)


def _digest(entries: Sequence[Entry]) -> str:
    rows = [(entry.key, (entry.texts, entry.images)) for entry in entries]
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogateescape")).hexdigest()
