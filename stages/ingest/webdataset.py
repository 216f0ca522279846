"""img2dataset and WebDataset tars, with img2dataset's parquet sidecars where they lie beside them.

With a sidecar, its rows are the rows of the source, in its order: a failed download is a row, and so is an image that
the tar should have and has not. Samples that only the tar has come after them, in the tar's last part. Without a
sidecar the rows are the tar's samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest.listing import base_name, cut, list_files, plan_files
from stages.ingest.parquet import damage, open_parquet, records
from stages.ingest.records import GRIT_BOXES, gold_of_record
from stages.ingest.row import Row
from stages.ingest.samples import Sample, index_tar
from stages.ingest.tar import Damage, Member, unpacked
from stages.ingest.text import storable
from stages.stage import Files, ImageRef, RowError, Slice, SourceFile, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
IMAGE_LIMIT = 256 << 20  # bytes, of an image in a compressed tar
_COLUMNS = ("key", "status", "error_message", "caption", "url", "license", "width", "height", *GRIT_BOXES)


class WebdatasetSource:
    def __init__(self, config: IngestConfig) -> None:
        self.source: str = config.source

    def plan(self, files: Files, part_size: int) -> Iterator[Slice]:
        found = list_files(files, self.source)
        tars = [file for file in found if is_tar(file.uri) or file.uri == self.source]
        if not tars:
            raise UserError(f"ingest.source: no .tar files in {self.source}")
        beside = {file.uri: file for file in found}
        if len(found) == 1:  # a single tar as source: its sidecar was not listed
            beside |= _sidecar_of(files, tars[0])
        return plan_files(tars, lambda tar: _plan_tar(files, tar, beside.get(sidecar_uri(tar.uri)), part_size))

    def rows(self, files: Files, piece: Slice) -> Iterator[Row]:
        sidecar = piece.extra.get("sidecar")
        with files.open_source(piece.uri) as stored, unpacked(stored) as (file, packed):
            tar = _Tar(piece.uri, file, packed)
            if sidecar is not None:
                yield from _sidecar_rows(tar, _read_sidecar(files, sidecar), piece)
                return
            broken = piece.extra.get("broken_sidecar")
            first = [broken] if broken else []
            for entry in islice([*first, *tar.samples, *tar.damaged], piece.start, piece.stop):
                yield tar.row(entry) if isinstance(entry, Sample) else _damaged_row(piece.uri, entry)


def is_tar(uri: str) -> bool:
    return uri.endswith(TARS)


def sidecar_uri(tar: str) -> str:
    suffix = next((suffix for suffix in TARS if tar.endswith(suffix)), "")
    return f"{tar.removesuffix(suffix)}.parquet"


def _sidecar_of(files: Files, tar: SourceFile) -> dict[str, SourceFile]:
    try:
        return {file.uri: file for file in files.list_source(sidecar_uri(tar.uri))}
    except FileNotFoundError:
        return {}


def _plan_tar(files: Files, tar: SourceFile, sidecar: SourceFile | None, part_size: int) -> list[Slice]:
    extra: dict[str, Any] = {}
    if sidecar is not None:
        try:
            with files.open_source(sidecar.uri) as stored:
                rows = _sidecar_length(stored, base_name(sidecar.uri))
            extra = {"sidecar": sidecar.uri, "sidecar_size": sidecar.size}
            if pieces := cut(tar, rows, part_size, extra):
                return [*pieces[:-1], _open_ended(pieces[-1])]
            extra = {}
        except UserError as error:
            extra = {"broken_sidecar": str(error), "sidecar_size": sidecar.size}
    with files.open_source(tar.uri) as stored, unpacked(stored) as (file, _):
        index = index_tar(file)
    rows = len(index.samples) + len(index.damaged) + ("broken_sidecar" in extra)
    return cut(tar, rows, part_size, extra)


def _open_ended(piece: Slice) -> Slice:
    """The last slice of a tar also takes the samples that its sidecar does not list; only reading tells how many."""
    return replace(piece, extra={**piece.extra, "open_end": True})


class _Tar:
    """A tar's samples by key, and how they become rows."""

    def __init__(self, uri: str, file: BinaryIO, packed: bool) -> None:
        self.uri = uri
        self.file = file
        self.packed = packed
        index = index_tar(file)
        self.samples = index.samples
        self.damaged = index.damaged
        self.whole = index.whole
        self.by_key: dict[str, Sample] = {}
        for sample in self.samples:
            self.by_key.setdefault(sample.key, sample)

    def row(self, sample: Sample, record: dict[str, Any] | None = None) -> Row:
        """`record`: the sidecar's row of the sample, or else its .json is read."""
        source_id = storable(sample.key)
        try:
            if sample.duplicate:
                raise RowError("duplicate_sample", f"in {base_name(self.uri)}")
            member = sample.image()
            caption = sample.text(self.file)
            if record is None:
                record = self._json(sample, caption)
            return Row(
                source_id,
                record.get("caption") if caption is None else caption,
                None if self.packed else ImageRef(self.uri, member.offset, member.size),
                self._read(member) if self.packed else None,
                url=record.get("url"),
                license=record.get("license"),
                gold=gold_of_record(record),
            )
        except RowError as error:
            return Row(source_id, error=error)

    def _json(self, sample: Sample, caption: str | None) -> dict[str, Any]:
        """The .json; a broken one matters only where the caption hangs on it. Raises RowError."""
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


def _damaged_row(uri: str, what: Damage | str) -> Row:
    name = base_name(uri)
    if isinstance(what, str):
        return Row(base_name(sidecar_uri(uri)), error=RowError("damaged_source", what))
    detail = f"no tar member in the {what.length} bytes from byte {what.offset} on"
    return Row(f"{name}@{what.offset}", error=RowError("damaged_source", detail))


def _sidecar_length(stored: BinaryIO, name: str) -> int:
    """Rows of a sidecar. Raises UserError for what is no readable Parquet file with the column `key`."""
    reader = open_parquet(stored, name)
    if "key" not in reader.schema_arrow.names:
        raise UserError(f"{name}: no column `key`, so it is no sidecar of img2dataset")
    return int(reader.metadata.num_rows)


def _read_sidecar(files: Files, uri: str) -> list[dict[str, Any] | RowError]:
    """All rows of a sidecar; all of them errors where its data is damaged."""
    import pyarrow as pa

    with files.open_source(uri) as stored:
        reader = open_parquet(stored, base_name(uri))
        names = set(reader.schema_arrow.names)
        try:
            table = reader.read([column for column in _COLUMNS if column in names], use_threads=False)
        except (pa.ArrowException, OSError) as error:
            return [damage(error, stored)] * int(reader.metadata.num_rows)
    return [record for batch in table.to_batches() for record in records(batch)]


def _sidecar_rows(tar: _Tar, sidecar: list[dict[str, Any] | RowError], piece: Slice) -> Iterator[Row]:
    keys = [None if isinstance(record, RowError) else storable(record["key"]) for record in sidecar]
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    for number in range(piece.start, min(piece.stop, len(sidecar))):
        record, key = sidecar[number], keys[number]
        if isinstance(record, RowError):
            yield Row(f"{base_name(sidecar_uri(tar.uri))}#{number}", error=record)
        else:
            yield _listed_row(tar, str(key), record, duplicate=first[key] != number)
    if piece.extra.get("open_end") and piece.stop == len(sidecar):
        for sample in tar.samples:
            if storable(sample.key) not in first or sample.duplicate:
                yield tar.row(sample)


def _listed_row(tar: _Tar, key: str, record: dict[str, Any], duplicate: bool) -> Row:
    status = record.get("status")
    if duplicate:
        return Row(key, error=RowError("duplicate_sample", "a second row of this key in the sidecar"))
    if status is not None and status != "success":
        return Row(key, error=RowError("download_failed", f"{status}: {record.get('error_message') or 'no message'}"))
    sample = tar.by_key.get(key)
    if sample is not None:
        return tar.row(sample, record)
    if tar.whole:
        return Row(key, error=RowError("missing_image", f"the sidecar lists it, {base_name(tar.uri)} does not have it"))
    return Row(
        key, error=RowError("truncated_source", f"{base_name(tar.uri)} is damaged, and this sample is not in the rest")
    )
