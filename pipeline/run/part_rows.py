"""The rows of one part's files, for `verify`: counts, keys, and how a side table lies beside its dataset."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pipeline.storage.base import Storage
from pipeline.storage.tables import read_parquet
from schemas.commit import CommitRecord
from schemas.records import part_name
from stages.stage import Output

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLE = re.compile(r"-(\d{12})\.json$")


@dataclass(frozen=True)
class Rows:
    count: int
    keys: Sequence[str] = ()
    reasons: frozenset[str] = frozenset()


class PartRows:
    """Each file is read once. `broken` holds paths of files that are not what their records say."""

    def __init__(self, storage: Storage, part: int, quick: bool, broken: Collection[str] = ()) -> None:
        self._storage = storage
        self._part = part
        self._quick = quick
        self._tables: dict[str, Rows | None] = {}
        self.broken = set(broken)

    def path(self, dataset: str) -> str:
        return f"{dataset}/{part_name(self._part)}"

    def table(self, dataset: str) -> Rows | None:
        if dataset not in self._tables:
            self._tables[dataset] = self._read(self.path(dataset))
        return self._tables[dataset]

    def _read(self, path: str) -> Rows | None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = self._storage.read_or_none(path)
        if data is None:
            return None
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            if self._quick or "key" not in file.schema_arrow.names:
                return Rows(file.metadata.num_rows)
            columns = [name for name in ("key", "reason") if name in file.schema_arrow.names]
            table = file.read(columns=columns, use_threads=False)
        except (pa.ArrowException, OSError):
            return Rows(0)  # its sha256 or its count says so too
        reasons = frozenset(table["reason"].to_pylist()) if "reason" in columns else frozenset()
        return Rows(table.num_rows, table["key"].to_pylist(), reasons)

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        """A table of the part as stages read it."""
        return read_parquet(self._storage, self.path(dataset), None if columns is None else list(columns))

    def samples(self, record: CommitRecord) -> Rows:
        """The samples in the tars of a part: one JSON member each, and the image beside it."""
        keys: list[str] = []
        for entry in record.files:
            if entry.path.endswith(".tar"):
                with self._storage.open(entry.path) as file:
                    keys += _sample_keys(file)
        return Rows(len(keys), keys)

    def not_kept(self, dataset: str, came: Collection[str]) -> Counter[str]:
        """By reason, of these keys."""
        table = read_parquet(self._storage, self.path(dataset), ["key", "keep", "reason"])
        return Counter(row["reason"] for row in table.to_pylist() if not row["keep"] and row["key"] in came)

    # -- side tables -----------------------------------------------------------------------------------------------

    def misaligned(self, output: Output, may_lack_rows: bool) -> Iterator[str]:
        """What of a side table is not beside the rows of its dataset. `may_lack_rows`: rejects account for those."""
        theirs = output.aligned_with
        if theirs is None or {self.path(output.folder), self.path(theirs)} & self.broken:
            return
        mine, other = self.table(output.folder), self.table(theirs)
        if mine is None or other is None:
            lacking = output.folder if mine is None else theirs
            yield f"{self.path(lacking)} is missing, so that {output.folder} is not aligned with {theirs}"
        elif self._quick:
            if mine.count != other.count and not may_lack_rows:
                yield f"{self.path(output.folder)} has {mine.count} rows, {theirs} has {other.count}"
        else:
            yield from self._rows_differ(output, theirs, list(mine.keys), list(other.keys), may_lack_rows)

    def _rows_differ(
        self, output: Output, theirs: str, mine: list[str], other: list[str], may_lack_rows: bool
    ) -> Iterator[str]:
        path, known = self.path(output.folder), set(mine)
        expected = [key for key in other if key in known] if may_lack_rows else other
        if mine != expected:
            odd = sorted(known ^ set(expected)) or mine
            yield f"{path} does not have the keys of {theirs} in their order, e.g. {odd[0]}"
        elif output.lists is not None:
            mine_of, other_of = output.lists
            lengths = self._lengths(theirs, other_of)
            for key, length in self._lengths(output.folder, mine_of).items():
                if length != lengths[key]:
                    yield f"{path} has {length} {mine_of} for {key}, {theirs} has {lengths[key]} {other_of}"
                    return

    def _lengths(self, dataset: str, column: str) -> dict[str, int]:
        """Items of a list column, by key."""
        import pyarrow.compute as pc

        table = read_parquet(self._storage, self.path(dataset), ["key", column])
        return dict(zip(table["key"].to_pylist(), pc.fill_null(pc.list_value_length(table[column]), 0).to_pylist()))


def common_keys(tables: Iterable[Rows]) -> set[str]:
    """A row goes in when all tables that the stage reads have its key."""
    keys = [set(table.keys) for table in tables if table.keys or table.count == 0]
    return set.intersection(*keys) if keys else set()


def _sample_keys(file: BinaryIO) -> list[str]:
    """Keys of the samples that have both members; one without its image counts as none."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            names = tar.getnames()
    except tarfile.TarError:
        return []
    stems = {name.rpartition(".")[0] for name in names if not name.endswith(".json")}
    return [found[1] for name in names if (found := _SAMPLE.search(name)) and name[: -len(".json")] in stems]
