"""Pairs of images with like vectors, without comparing all with all: by clusters, and within these exactly.

The first images are compared all with all. Every later one is listed by the centre that is nearest to it, and compared
with those that the centres nearest to it list; two images are found if either is listed where the other looks.

The work is cut into blocks, which need nothing of each other and run on any worker: the places of some rows, some rows
with all before them, and the lists of some clusters with all rows that look there. Such a block holds the listed
vectors in memory; all others pass by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.curate.scratch import load, mapped, opened, save
from stages.curate.vectors import Cosines, Ints, Vectors, alike, nearest
from stages.stage import Block, RunIO, Scratch

PROBES = 3  # centres at which an image is looked for
LISTED = 1 << 16  # images that a centre lists, the first ones
KEPT = 16  # of the earlier images that an image is like, so many are kept, the first ones
BLOCK = 1 << 21  # rows of the mapped file that pass by at a time
PLACED = 1 << 16  # rows whose places are a block
GROUPS = 16  # of clusters, at least, so that there are blocks for many workers
TILE = 2048  # rows, and columns, that are compared at a time
COMPACT = 1 << 22  # pairs that wait until the ones that are not kept are thrown away


@dataclass(frozen=True)
class Rows:
    """A scratch file of vectors (count, width), and the digest of its content."""

    file: str
    digest: str
    count: int
    width: int

    def opened(self, scratch: Scratch) -> Vectors:
        return mapped(scratch.path(self.file), (self.count, self.width), np.float16)


@dataclass(frozen=True)
class Places:
    """Where each of N rows lies among the centres."""

    probes: NDArray[np.int32]  # (N, PROBES or fewer): the nearest centre, and those after it
    closeness: Cosines  # (N,) the product with the nearest one

    @property
    def own(self) -> NDArray[np.int32]:
        """(N,)"""
        own: NDArray[np.int32] = self.probes[:, 0]
        return own


@dataclass
class Found:
    """Pairs of rows, of which the KEPT earliest of each later row stay."""

    pairs: list[Ints] = field(default_factory=list)  # (M, 2) later, earlier
    waiting: int = 0

    def add(self, one: Ints, other: Ints, first: int) -> None:
        """Rows in any order; a pair counts where the later one is the row `first` or comes after it."""
        later, earlier = np.maximum(one, other), np.minimum(one, other)
        chosen = (later >= first) & (later != earlier)
        self.pairs.append(np.stack([later[chosen], earlier[chosen]], axis=1))
        self.waiting += int(chosen.sum())
        if self.waiting > COMPACT:
            self.pairs, self.waiting = [self.compact()], 0

    def compact(self) -> Ints:
        """(M, 2) sorted, each once."""
        pairs = np.concatenate([np.empty((0, 2), np.int64), *self.pairs])
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        new = np.ones(len(pairs), np.bool_)
        new[1:] = (pairs[1:] != pairs[:-1]).any(1)
        pairs = pairs[new]
        begins = np.flatnonzero(np.concatenate([[True], np.diff(pairs[:, 0]) != 0])) if len(pairs) else pairs[:, 0]
        place = np.arange(len(pairs)) - np.repeat(begins, np.diff(np.append(begins, len(pairs))))
        kept: Ints = pairs[place < KEPT]
        return kept


# -- places ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A block: the places of the rows from `start` to `stop`."""

    rows: Rows
    centres: str  # a scratch file (C, D)
    digest: str  # of the vectors and the centres
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"places/{self.digest}/{self.start}-{self.stop}.npy"

    def run(self, scratch: Scratch) -> None:
        rows = self.rows.opened(scratch)[self.start : self.stop]
        probes, closeness = nearest(rows, load(scratch, self.centres), PROBES)
        save(scratch, self.name, np.column_stack([probes, closeness]))  # float64 holds every int32


def find_places(io: RunIO, rows: Rows, centres: Vectors, threads: int = 1) -> Places:
    save(io.scratch, "centres.npy", centres)
    digest = joined(rows.digest, io.scratch.sha256("centres.npy"))
    edges = [*range(0, rows.count, PLACED), rows.count]
    blocks = [Place(rows, "centres.npy", digest, start, stop) for start, stop in pairwise(edges)]
    io.run_blocks(blocks, "finding clusters", threads)
    found = np.concatenate([np.empty((0, min(PROBES, len(centres)) + 1)), *load_all(io, blocks)])
    return Places(found[:, :-1].astype(np.int32), found[:, -1].copy())


# -- pairs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WithAllBefore:
    """A block: the rows from `start` to `stop`, each with all before it."""

    rows: Rows
    start: int
    stop: int
    least: float

    @property
    def name(self) -> str:
        return f"like/{self.rows.digest}/{self.least!r}-{self.start}-{self.stop}.npy"

    def run(self, scratch: Scratch) -> None:
        vectors, found = self.rows.opened(scratch), Found()
        rows = np.asarray(vectors[self.start : self.stop])
        for start, others in blocks(vectors[: self.stop], TILE):
            one, other = alike(rows, others, self.least)
            found.add(one + self.start, other + start, self.start)
        save(scratch, self.name, found.compact())


@dataclass(frozen=True)
class ByPlace:
    """A block: what the clusters from `begin` to `end` list, with all rows that look there."""

    rows: Rows
    probes: str  # a scratch file (N, PROBES or fewer)
    digest: str  # of the vectors and the probes
    begin: int
    end: int
    first: int  # earlier rows are found elsewhere
    least: float

    @property
    def name(self) -> str:
        return f"like/{self.digest}/{self.least!r}-clusters-{self.begin}-{self.end}-{self.first}.npy"

    def run(self, scratch: Scratch) -> None:
        vectors, probes, found = self.rows.opened(scratch), opened(scratch, self.probes), Found()
        listed = listed_by(probes[:, 0], self.begin, self.end)
        members = np.concatenate([np.empty(0, np.int64), *listed])
        offsets = np.cumsum([0, *map(len, listed)])
        held = gathered(vectors, members)
        for start, block in blocks(vectors, BLOCK):
            looking = probes[start : start + len(block)]
            row, probe = np.nonzero((looking >= self.begin) & (looking < self.end))
            order = np.argsort(looking[row, probe], kind="stable")
            row, cluster = row[order], looking[row, probe][order]
            ends = np.searchsorted(cluster, np.arange(self.begin, self.end + 1))
            for (begin, end), own in zip(pairwise(ends.tolist()), pairwise(offsets.tolist()), strict=True):
                for at, piece in tiles(range(begin, end), range(*own)):
                    one, other = alike(block[row[at]], held[piece], self.least)
                    found.add(row[at][one] + start, members[piece][other], self.first)
        save(scratch, self.name, found.compact())


def find_neighbours(
    io: RunIO, rows: Rows, places: Places, known: int, first: int, least: float, memory: int, threads: int = 1
) -> tuple[Ints, Ints]:
    """(M,), (M,) later and earlier row of pairs with a cosine of `least` or more.

    The first `known` rows are not compared with each other; the first `first` ones are compared all with all, and those
    after them by their places. `memory`: bytes that `threads` blocks may take together. What is found for a row depends
    on the rows before it alone.
    """
    edges = [*range(known, min(first, rows.count), TILE), max(known, min(first, rows.count))]
    blocks: list[Block] = [WithAllBefore(rows, start, stop, least) for start, stop in pairwise(edges)]
    if rows.count > first:
        save(io.scratch, "probes.npy", places.probes)
        digest = joined(rows.digest, io.scratch.sha256("probes.npy"))
        for clusters in groups(places.own, rows.width * 2, memory // threads):
            blocks.append(ByPlace(rows, "probes.npy", digest, clusters.start, clusters.stop, first, least))
    io.run_blocks(blocks, "comparing vectors", threads, min(memory // threads, rows.count * rows.width * 2))
    found = Found([np.empty((0, 2), np.int64), *load_all(io, blocks)]).compact()
    return found[:, 0], found[:, 1]


def groups(own: NDArray[np.int32], size: int, memory: int) -> Iterator[range]:
    """Clusters, one after the other, whose listed vectors of `size` bytes fit into the memory, one at least."""
    listed = np.minimum(np.bincount(own), LISTED)
    most = min(memory // size, int(listed.sum()) // GROUPS)
    begin, taken = 0, 0
    for number, count in enumerate(listed.tolist()):
        if taken and taken + count > most:
            yield range(begin, number)
            begin, taken = number, 0
        taken += count
    if taken:
        yield range(begin, len(listed))


def listed_by(own: NDArray[np.int32], begin: int, end: int) -> list[Ints]:
    """The rows that each cluster from `begin` to `end` lists."""
    rows = np.flatnonzero((own >= begin) & (own < end))
    rows = rows[np.argsort(own[rows], kind="stable")]
    ends = np.searchsorted(own[rows], np.arange(begin, end + 1))
    return [rows[start : min(stop, start + LISTED)] for start, stop in pairwise(ends.tolist())]


def tiles(rows: range, columns: range) -> Iterator[tuple[slice, slice]]:
    for row in rows[::TILE]:
        for column in columns[::TILE]:
            yield slice(row, min(row + TILE, rows.stop)), slice(column, min(column + TILE, columns.stop))


def gathered(vectors: Vectors, rows: Ints) -> Vectors:
    """Rows of a mapped file, which is read from its beginning to its end."""
    found = np.empty((len(rows), vectors.shape[1]), np.float16)
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    for start, block in blocks(vectors, BLOCK):
        begin, end = np.searchsorted(ordered, [start, start + len(block)])
        found[order[begin:end]] = block[ordered[begin:end] - start]
    return found


def blocks(vectors: Vectors, size: int) -> Iterator[tuple[int, Vectors]]:
    for start in range(0, len(vectors), size):
        yield start, np.asarray(vectors[start : start + size])


def load_all(io: RunIO, blocks: Sequence[Block]) -> list[NDArray[Any]]:
    return [load(io.scratch, block.name) for block in blocks]


def joined(*digests: str) -> str:
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()
