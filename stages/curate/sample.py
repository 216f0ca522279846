"""A few pairs of a run, drawn at random, and what the stage makes of them alone, in memory."""

from __future__ import annotations

import io as streams
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from schemas.records import part_name
from schemas.tables import PairTable
from stages.stage import Block, ImageRef, RowError, RunIO, Scratch, Slice, SourceFile

if TYPE_CHECKING:
    import pyarrow as pa

SEED = 0
COLUMNS = ("key", "caption", "image", "width", "height", "sha256")


@dataclass(frozen=True)
class Sample:
    """n of a run's N pairs, in the order of their keys."""

    pairs: pa.Table
    population: int  # N
    images: float  # of the run; an image that a part has several captions of counts once

    @property
    def share(self) -> float:
        return len(self.pairs) / self.population


def draw(io: RunIO, count: int, seed: int = SEED) -> Sample | None:
    """At most `count` pairs; None where there are none.

    A simple random sample without replacement: a stratified one would never have two neighbours, which copies often
    are. Parts that have none of it are only counted.
    """
    import pyarrow as pa

    offsets = np.cumsum([0, *(_rows(io, part) for part in io.parts())])
    population = int(offsets[-1])
    if not population:
        return None
    draw = np.random.default_rng(seed)
    chosen = np.sort(draw.choice(population, min(count, population), replace=False, shuffle=False))
    pieces, read, images = [], 0, 0
    for part, start, stop in zip(io.parts(), offsets[:-1], offsets[1:], strict=True):
        rows = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(rows):
            table = io.read_part(PairTable.dataset, part, COLUMNS)
            pieces.append(table.take(rows))
            digests = table["sha256"].drop_null()
            read, images = read + len(table), images + len(digests.unique())
    return Sample(pa.concat_tables(pieces).combine_chunks(), population, images / read * population)


def _rows(io: RunIO, part: int) -> int:
    import pyarrow.parquet as pq

    with io.open(f"{PairTable.dataset}/{part_name(part)}") as file:
        return int(pq.ParquetFile(file).metadata.num_rows)


class InMemory:
    """Reads sources as a run does, and keeps what is written."""

    def __init__(self, io: RunIO, **tables: pa.Table) -> None:
        self._io = io
        self.tables: dict[str, pa.Table] = tables

    def list_source(self, uri: str) -> list[SourceFile]:
        return self._io.list_source(uri)

    def open_source(self, uri: str) -> AbstractContextManager[BinaryIO]:
        return self._io.open_source(uri)

    def image_bytes(self, refs: Sequence[ImageRef]) -> Iterator[bytes | RowError]:
        return self._io.image_bytes(refs)

    def files(self, folder: str) -> list[str]:
        return []

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        raise FileNotFoundError(path)

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        yield streams.BytesIO()  # nobody reads it


class SamplePart(InMemory):
    """The `PartIO` of a sample as the only part."""

    part = 0
    slice: Slice | None = None

    @property
    def datasets(self) -> list[str]:
        return list(self.tables)

    def has(self, dataset: str) -> bool:
        return dataset in self.tables

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        return self.tables[dataset].select(columns or self.tables[dataset].column_names)

    def write(self, dataset: str, table: pa.Table) -> None:
        self.tables[dataset] = table

    def progress(self, pairs: int) -> None:
        """Nobody waits."""


class SampleRun(InMemory):
    """The `RunIO` of a run of this one part."""

    @property
    def scratch(self) -> Scratch:
        return self._io.scratch

    def parts(self) -> list[int]:
        return [0]

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        return self.tables[dataset].select(columns or self.tables[dataset].column_names)

    def has_part(self, dataset: str, part: int) -> bool:
        return dataset in self.tables

    def write_part(self, dataset: str, part: int, table: pa.Table) -> None:
        self.tables[dataset] = table

    def delete(self, path: str) -> None:
        raise FileNotFoundError(path)

    def progress(self, done: int, total: int, message: str = "") -> None:
        """Nobody waits."""

    def run_blocks(self, blocks: Sequence[Block], message: str, threads: int = 1, memory: int = 0) -> None:
        self._io.run_blocks(blocks, message, threads, memory)
