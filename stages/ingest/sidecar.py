"""img2dataset's sidecars: a Parquet file beside a tar, or beside a folder of files, with a row for every download.

The sidecar's rows are the source's rows, in its order: a failed download is a row, and so is an image that should be
there and is not. Samples that the sidecar does not list come after them, in the last part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, Protocol, TypeVar

from stages.ingest.grit import GRIT_BOXES
from stages.ingest.listing import cut
from stages.ingest.names import base_name, below
from stages.ingest.parquet import damage, open_parquet, records
from stages.ingest.row import Row
from stages.ingest.text import storable
from stages.stage import Files, RowError, Slice, SourceFile, UserError

_COLUMNS = ("key", "status", "error_message", "caption", "url", "license", "width", "height", *GRIT_BOXES)
Record = dict[str, Any] | RowError


class Listed(Protocol):
    """A sample of a shard; `duplicate`: an earlier one has its key."""

    key: str
    duplicate: bool


Item = TypeVar("Item", bound=Listed)


class Shard(Protocol[Item]):
    """What a sidecar lists. `whole`: nothing of it can have been cut off."""

    uri: str
    samples: list[Item]
    whole: bool

    def row(self, sample: Item, source_id: str, record: dict[str, Any] | None = None) -> Row: ...


def is_sidecar(uri: str) -> bool:
    return uri.lower().endswith(".parquet")


def plan(files: Files, shard: SourceFile, sidecar: SourceFile, part_size: int, extra: dict[str, Any]) -> list[Slice]:
    """Slices of a shard by its sidecar's rows. Raises UserError for a sidecar that cannot be read."""
    with files.open_source(sidecar.uri) as stored:
        rows = length(stored, base_name(sidecar.uri))
    extra = {**extra, "sidecar": sidecar.uri, "sidecar_size": sidecar.size}
    pieces = cut(shard, rows, part_size, extra)
    return [*pieces[:-1], _open_ended(pieces[-1])] if pieces else []


def _open_ended(piece: Slice) -> Slice:
    """The last slice also takes the samples that the sidecar does not list; only reading tells how many."""
    return replace(piece, extra={**piece.extra, "open_end": True})


def length(stored: BinaryIO, name: str) -> int:
    """Rows of a sidecar. Raises UserError for what is no readable Parquet file with the column `key`."""
    reader = open_parquet(stored, name)
    if "key" not in reader.schema_arrow.names:
        raise UserError(f"{name}: no column `key`, so it is no sidecar of img2dataset")
    return int(reader.metadata.num_rows)


def columns(files: Files, uri: str) -> list[str]:
    """Empty for a sidecar that cannot be read."""
    try:
        with files.open_source(uri) as stored:
            return list(open_parquet(stored, base_name(uri)).schema_arrow.names)
    except UserError:
        return []


def read(files: Files, uri: str, column: str = "") -> list[Record]:
    """All rows of a sidecar; all of them errors where its data is damaged. `column`: read beside the usual ones."""
    import pyarrow as pa

    with files.open_source(uri) as stored:
        reader = open_parquet(stored, base_name(uri))
        names = set(reader.schema_arrow.names)
        wanted = [name for name in dict.fromkeys((*_COLUMNS, column)) if name in names]
        try:
            table = reader.read(wanted, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            return [damage(error, stored)] * int(reader.metadata.num_rows)
    return [record for batch in table.to_batches() for record in records(batch)]


def rows(shard: Shard[Item], sidecar: Sequence[Record], piece: Slice, source: str, prefix: str) -> Iterator[Row]:
    """`prefix`: what ids begin with."""
    keys = [None if isinstance(record, RowError) else _plain(record["key"]) for record in sidecar]
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    samples = _match((key for key in first if key is not None), shard.samples)
    name = below(piece.extra["sidecar"], source)
    for number in range(piece.start, min(piece.stop, len(sidecar))):
        record, key = sidecar[number], keys[number]
        if isinstance(record, RowError) or key is None:
            yield Row(f"{name}#{number}", error=record if isinstance(record, RowError) else RowError("bad_record"))
        else:
            yield _listed_row(shard, prefix + key, record, samples.get(key), duplicate=first[key] != number)
    if piece.extra.get("open_end") and piece.stop == len(sidecar):
        listed = set(map(id, samples.values()))
        for sample in shard.samples:
            if id(sample) not in listed:
                yield shard.row(sample, prefix + storable(sample.key))


def _plain(key: Any) -> str:
    return storable(key).removeprefix("./")


def _match(keys: Iterable[str], samples: Sequence[Item]) -> dict[str, Item]:
    """The sample of each key: that of the same name; else of the same name in a folder; else of the same number."""
    first = [sample for sample in samples if not sample.duplicate]
    exact = {_plain(sample.key): sample for sample in reversed(first)}
    by_base = _unique((base_name(sample.key), sample) for sample in first)
    by_number = _unique((int(base), sample) for base, sample in by_base.items() if base.isdecimal() and base.isascii())
    found: dict[str, Item] = {}
    taken: set[int] = set()
    for key in keys:
        number = int(key) if key.isdecimal() and key.isascii() else -1
        sample = exact.get(key) or by_base.get(key) or by_number.get(number)
        if sample is not None and id(sample) not in taken:
            found[key] = sample
            taken.add(id(sample))
    return found


def _unique(named: Iterable[tuple[Any, Item]]) -> dict[Any, Item]:
    pairs = list(named)
    times = Counter(name for name, _ in pairs)
    return {name: sample for name, sample in pairs if times[name] == 1}


def _listed_row(
    shard: Shard[Item], source_id: str, record: dict[str, Any], sample: Item | None, duplicate: bool
) -> Row:
    status = record.get("status")
    if duplicate:
        return Row(source_id, error=RowError("duplicate_sample", "a second row of this key in the sidecar"))
    if status is not None and status != "success":
        message = record.get("error_message") or "no message"
        return Row(source_id, error=RowError("download_failed", f"{status}: {message}"))
    if sample is not None:
        return shard.row(sample, source_id, record)
    name = base_name(shard.uri)
    if shard.whole:
        return Row(source_id, error=RowError("missing_image", f"the sidecar lists it, {name} does not have it"))
    detail = f"{name} is damaged or cut off, and this sample is not in the rest"
    return Row(source_id, error=RowError("truncated_source", detail))


def lists_rows(files: Files, file: SourceFile) -> bool:
    """Whether a Parquet file is a sidecar of img2dataset, and has rows."""
    try:
        with files.open_source(file.uri) as stored:
            return length(stored, base_name(file.uri)) > 0
    except UserError:
        return False


def plan_without_shard(files: Files, side: SourceFile, part_size: int, gone: str) -> list[Slice]:
    """Slices of the rows of a sidecar; `gone`: the name of what it lists. Raises UserError."""
    with files.open_source(side.uri) as stored:
        return cut(side, length(stored, base_name(side.uri)), part_size, {"gone": gone})


def rows_without_shard(sidecar: Sequence[Record], piece: Slice, source: str, prefix: str) -> Iterator[Row]:
    """Of a sidecar whose tar or folder is gone."""
    name = below(piece.uri, source)
    for number, record in enumerate(sidecar[piece.start : piece.stop], piece.start):
        if isinstance(record, RowError):
            yield Row(f"{name}#{number}", error=record)
            continue
        status = record.get("status")
        said = f"; the sidecar says {status}: {record.get('error_message')}" if status not in (None, "success") else ""
        yield Row(
            prefix + _plain(record["key"]), error=RowError("damaged_source", f"{piece.extra['gone']} is gone{said}")
        )
