"""img2dataset and WebDataset tars, with img2dataset's Parquet sidecars where they lie beside them.

Without a sidecar the rows are the tar's samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest import sidecar
from stages.ingest.grit import gold_of_record
from stages.ingest.listing import Unused, cut, list_files, plan_files
from stages.ingest.names import base_name, below, folder_of
from stages.ingest.row import Row
from stages.ingest.samples import TEXTS, Places, Sample, index_tar
from stages.ingest.tar import Damage, Member, unpacked
from stages.ingest.tar_places import find_places
from stages.ingest.text import storable
from stages.stage import Files, ImageRef, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
IMAGE_LIMIT = 256 << 20  # bytes, of an image in a compressed tar


class WebdatasetSource:
    def __init__(self, config: IngestConfig) -> None:
        self.config = config
        self.source: str = config.source
        self.unused = Unused()

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        found = list_files(files, self.source)
        tars = [file for file in found if is_tar(file.uri) or file.uri == self.source]
        if not tars:
            raise UserError(f"ingest.source: no .tar files in {self.source}")
        beside = {file.uri: file for file in found}
        if len(found) == 1:  # a single tar as source: its sidecar was not listed
            beside |= _sidecar_of(files, tars[0])
        sidecars = {tar.uri: side for tar in tars if (side := beside.get(sidecar_uri(tar.uri))) is not None}
        others = {tar.uri for tar in tars} | {side.uri for side in sidecars.values()}
        orphans = [
            file
            for file in found
            if file.uri not in others and sidecar.is_sidecar(file.uri) and sidecar.lists_rows(files, file)
        ]
        places, self.unused.members = find_places(self.config, files, tars, sidecars)
        extra = {"members": places.to_json()} if places != Places() else {}
        self.unused.files = [file.uri for file in found if file.uri not in others and file not in orphans]
        planned = sorted([*tars, *orphans], key=lambda file: file.uri)
        yield from plan_files(planned, lambda file: _plan_file(files, file, sidecars.get(file.uri), part_size, extra))

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        folder = folder_of(below(piece.uri, self.source))
        prefix = f"{folder}/" if folder else ""
        places = Places(**piece.extra.get("members", {}))
        if "gone" in piece.extra:
            yield from sidecar.rows_without_shard(sidecar.read(files, piece.uri), piece, self.source, prefix)
            return
        with files.open_source(piece.uri) as stored, unpacked(stored) as (file, packed):
            tar = _Tar(piece.uri, file, packed, places)
            if listed := piece.extra.get("sidecar"):
                records = sidecar.read(files, listed, places.caption)
                yield from sidecar.rows(tar, records, piece, self.source, prefix)
                return
            broken = piece.extra.get("broken_sidecar")
            first = [broken] if broken else []
            for entry in islice([*first, *tar.samples, *tar.damaged], piece.start, piece.stop):
                if isinstance(entry, Sample):
                    yield tar.row(entry, prefix + storable(entry.key))
                else:
                    yield _damaged_row(below(piece.uri, self.source), entry)


def is_tar(uri: str) -> bool:
    return uri.lower().endswith(TARS)


def sidecar_uri(tar: str) -> str:
    suffix = next((suffix for suffix in TARS if tar.lower().endswith(suffix)), "")
    return f"{tar[: len(tar) - len(suffix)]}.parquet"


def _sidecar_of(files: Files, tar: SourceFile) -> dict[str, SourceFile]:
    try:
        return {file.uri: file for file in files.list_source(sidecar_uri(tar.uri))}
    except FileNotFoundError:
        return {}


def _plan_file(
    files: Files, file: SourceFile, side: SourceFile | None, part_size: int, extra: dict[str, Any]
) -> list[Slice]:
    if sidecar.is_sidecar(file.uri):
        return sidecar.plan_without_shard(files, file, part_size, base_name(file.uri)[: -len(".parquet")] + ".tar")
    if side is not None:
        try:
            if pieces := sidecar.plan(files, file, side, part_size, extra):
                return pieces
        except UserError as error:
            extra = {**extra, "broken_sidecar": str(error), "sidecar_size": side.size}
    with files.open_source(file.uri) as stored, unpacked(stored) as (tar, _):
        index = index_tar(tar, Places(**extra.get("members", {})))
    rows = len(index.samples) + len(index.damaged) + ("broken_sidecar" in extra)
    return cut(file, rows, part_size, extra)


class _Tar:
    """A tar's samples, and how they become rows."""

    def __init__(self, uri: str, file: BinaryIO, packed: bool, places: Places) -> None:
        self.uri = uri
        self.file = file
        self.packed = packed
        self.places = places
        index = index_tar(file, places)
        self.samples = index.samples
        self.damaged = index.damaged
        self.whole = index.whole

    def row(self, sample: Sample, source_id: str, record: dict[str, Any] | None = None) -> Row:
        """`record`: the sidecar's row of the sample, or else its .json is read."""
        gold = None
        try:
            if sample.duplicate:
                raise RowError("duplicate_sample", f"in {base_name(self.uri)}")
            member = sample.image(self.places)
            caption, record = self._caption(sample, record)
            gold = gold_of_record(record)
            return Row(
                source_id,
                caption,
                None if self.packed else ImageRef(self.uri, member.offset, member.size),
                self._read(member) if self.packed else None,
                url=record.get("url"),
                license=record.get("license"),
                gold=gold,
            )
        except RowError as error:
            return Row(source_id, gold=gold, error=error)

    def _caption(self, sample: Sample, record: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """And the sidecar's row, else the .json; a broken one matters only where the caption hangs on it.

        Raises RowError: missing_caption, bad_record and whatever is wrong with a member.
        """
        named = self.places.caption_suffix
        own: dict[str, Any] | None = None
        caption: Any = None
        if not named or named in sample.members:
            caption = sample.text(self.file, (named,) if named else TEXTS)
        key = self.places.caption or "caption"
        if caption is None and record is not None:
            caption = record.get(key)
        if record is None or (caption is None and "json" in sample.members):
            own = self._json(sample, caption)
            caption = own.get(key) if caption is None else caption
        if caption is None:
            keys = f"; keys of its .json: {', '.join(own)[:200]}" if own else ""
            raise RowError("missing_caption", f"{sample.has_only()}{keys}")
        return caption, record if record is not None else own or {}

    def _json(self, sample: Sample, caption: Any) -> dict[str, Any]:
        try:
            return sample.json(self.file)
        except RowError:
            if caption is None:
                raise
            return {}

    def _read(self, member: Member) -> bytes:
        if member.size > IMAGE_LIMIT:
            raise RowError("image_too_large", f"{member.size} bytes")
        self.file.seek(member.offset)
        return self.file.read(member.size)


def _damaged_row(name: str, what: Damage | str) -> Row:
    if isinstance(what, str):
        return Row(sidecar_uri(name), error=RowError("damaged_source", what))
    detail = f"no tar member in the {what.length} bytes from byte {what.offset} on"
    return Row(f"{name}@{what.offset}", error=RowError("damaged_source", detail))
