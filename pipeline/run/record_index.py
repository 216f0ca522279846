"""The records of a stage in one file, so that 100,000 of them are read in a second: `state/index/<stage>.parquet`.

It is a cache of the records, never their proof: a row counts while its record's stamp (time of change and size, or the
store's ETag) is the one noted. Whatever is newer is read from the record itself.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pipeline.run.commits import read_record, record_path
from pipeline.run.target import Target, part_of_path, part_target, result_of
from pipeline.storage.base import Storage
from schemas.commit import CommitRecord
from stages.stage import JobStage, Stage

if TYPE_CHECKING:
    import pyarrow as pa

READERS = 16  # records of an object store that are read at a time
COUNTS = ("in", "out", "rejected", "set_aside", "seconds")  # columns, beside part, stamp and the record itself
LEAST = 200  # fewer records than this need no index


def write_index(storage: Storage, stage: str) -> None:
    """Brings the index up to date; called by the one run that holds the lock."""
    stamps = storage.stamps(f"commits/{stage}")
    if len(stamps) < LEAST:
        return
    table, newer = look_up(storage, stage)
    if not newer and len(stamps) == table.num_rows:
        return
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {
            **counts_row(part, record),
            "path": record_path(stage, part_target(part)),
            "stamp": stamps[record_path(stage, part_target(part))],
            "record": json.dumps(json.loads(record.to_json())),
        }
        for part, record in newer.items()
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(rows, schema=_schema())]), buffer, compression="zstd")
    storage.write(_path(stage), buffer.getvalue())


def look_up(
    storage: Storage, stage: str, columns: Sequence[str] = (*COUNTS, "record")
) -> tuple[pa.Table, dict[int, CommitRecord]]:
    """The rows of the index that still hold, and the records that it does not know. `columns` beside part and stamp."""
    import pyarrow as pa

    stamps = storage.stamps(f"commits/{stage}")
    table = _stored(storage, stage, ["part", "path", "stamp", *columns]) if stamps else _schema().empty_table()
    noted = dict(zip(table["path"].to_pylist(), table["stamp"].to_pylist()))
    if noted == stamps:
        return table, {}
    holds = [stamps.get(path) == stamp for path, stamp in noted.items()]
    unknown = [path for path, stamp in stamps.items() if noted.get(path) != stamp]
    parts = [part for path in unknown if (part := part_of_path(path)) is not None]
    return table.filter(pa.array(holds, pa.bool_())), _read(storage, stage, parts)


def _stored(storage: Storage, stage: str, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = storage.read_or_none(_path(stage))
    if data is None:
        return _schema().empty_table()
    try:
        return pq.read_table(pa.BufferReader(data), columns=list(columns))
    except (pa.ArrowException, KeyError):
        return _schema().empty_table()  # a damaged cache is no cache


class Records(MutableMapping[Target, CommitRecord]):
    """The records of a stage by target, packed: 100,000 of them take some 50 MB."""

    def __init__(self) -> None:
        self._packed: dict[Target, bytes] = {}
        self._last: tuple[Target, CommitRecord] | None = None  # one record is looked at several times in a row

    def add_json(self, target: Target, text: str) -> None:
        self._packed[target] = zlib.compress(text.encode(), 1)

    def parts(self) -> Iterator[tuple[int, CommitRecord]]:
        """The records of parts alone, by number."""
        return ((target.part, record) for target, record in self.items() if target.kind == "part")

    def __getitem__(self, target: Target) -> CommitRecord:
        last = self._last  # looked at once: threads of `verify` share the records
        if last is None or last[0] != target:
            self._last = last = target, CommitRecord.from_json(zlib.decompress(self._packed[target]).decode())
        return last[1]

    def __setitem__(self, target: Target, record: CommitRecord) -> None:
        self._packed[target] = zlib.compress(record.to_json().encode(), 1)
        self._last = None

    def __delitem__(self, target: Target) -> None:
        del self._packed[target]
        self._last = None

    def __contains__(self, target: object) -> bool:
        return target in self._packed

    def __iter__(self) -> Iterator[Target]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)


def read_stage(storage: Storage, stage: type[Stage], trust_index: bool = True) -> Records:
    """All records of a stage that can be read. `trust_index` off: each from its own file."""
    records = Records()
    if issubclass(stage, JobStage):
        return _with_result(records, storage, stage)
    if trust_index:
        table, newer = look_up(storage, stage.name, ["record"])
        for part, text in zip(table["part"].to_pylist(), table["record"].to_pylist()):
            records.add_json(part_target(part), text)
    else:
        paths = storage.list(f"commits/{stage.name}")
        newer = _read(storage, stage.name, [part for path in paths if (part := part_of_path(path)) is not None])
    for part, record in newer.items():
        records[part_target(part)] = record
    return _with_result(records, storage, stage)


def _with_result(records: Records, storage: Storage, stage: type[Stage]) -> Records:
    record = read_record(storage, stage.name, result_of(stage))
    if record is not None:
        records[result_of(stage)] = record
    return records


def _read(storage: Storage, stage: str, parts: Iterable[int]) -> dict[int, CommitRecord]:
    def one(part: int) -> tuple[int, CommitRecord | None]:
        return part, read_record(storage, stage, part_target(part))

    if storage.local:
        return {part: record for part, record in map(one, parts) if record is not None}
    with ThreadPoolExecutor(READERS) as pool:
        return {part: record for part, record in pool.map(one, parts) if record is not None}


def counts_row(part: int, record: CommitRecord) -> dict[str, Any]:
    counts = record.counts
    return {
        "part": part,
        "in": counts.in_,
        "out": counts.out,
        "rejected": counts.rejected,
        "set_aside": json.dumps(counts.set_aside, sort_keys=True),
        "seconds": record.seconds,
    }


def _schema() -> pa.Schema:
    import pyarrow as pa

    numbers = [(name, pa.int64()) for name in ("in", "out", "rejected")]
    return pa.schema(
        [
            ("part", pa.int32()),
            ("path", pa.string()),
            ("stamp", pa.string()),
            *numbers,
            ("set_aside", pa.string()),
            ("seconds", pa.float64()),
            ("record", pa.string()),
        ]
    )


def _path(stage: str) -> str:
    return f"state/index/{stage}.parquet"
