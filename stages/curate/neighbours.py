"""Pairs of images with like vectors, without comparing all with all: by clusters, and within these exactly.

The first images are compared all with all. Every later one is listed by the centre that is nearest to it, and compared
with those that the centres nearest to it list; two images are found if either is listed where the other looks. Memory
holds the listed vectors of as many clusters as fit; all others pass by in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stages.curate.vectors import ROWS_AT_ONCE, Cosines, Ints, Vectors, alike, nearest

PROBES = 3  # centres at which an image is looked for
LISTED = 1 << 16  # images that a centre lists, the first ones
KEPT = 16  # of the earlier images that an image is like, so many are kept, the first ones
BLOCK = 1 << 21  # rows of the mapped file that pass by at a time
TILE = 2048  # rows, and columns, that are compared at a time
COMPACT = 1 << 22  # pairs that wait until the ones that are not kept are thrown away


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
        """Rows in any order; a pair counts where the later one is `first` or a later row."""
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


def find_places(vectors: Vectors, centres: Vectors, threads: int = 1) -> Places:
    """`vectors` (N, D) may be a mapped file."""
    with ThreadPoolExecutor(threads) as pool:
        pieces = list(pool.map(lambda block: nearest(block[1], centres, PROBES), blocks(vectors, ROWS_AT_ONCE)))
    empty = np.empty((0, min(PROBES, len(centres))), np.int32)
    probes = np.concatenate([empty, *(probes for probes, _ in pieces)])
    return Places(probes, np.concatenate([np.empty(0), *(closeness for _, closeness in pieces)]))


def find_neighbours(
    vectors: Vectors, places: Places, known: int, first: int, least: float, memory: int, threads: int = 1
) -> tuple[Ints, Ints]:
    """(M,), (M,) later and earlier row of pairs with a cosine of `least` or more.

    The first `known` rows of `vectors` (N, D), which may be a mapped file, are not compared with each other; the first
    `first` ones are compared all with all, and those after them by their places. `memory`: bytes that the vectors of a
    group of clusters may take. What is found for a row depends on the rows before it alone.
    """
    found = Found()
    with ThreadPoolExecutor(threads) as pool:
        for one, other in pool.map(lambda tile: compare(tile, least), all_tiles(vectors, known, first)):
            found.add(one, other, known)
        if len(vectors) > first:
            for tiles in tiles_by_place(vectors, places, memory):
                for one, other in pool.map(lambda tile: compare(tile, least), tiles):
                    found.add(one, other, first)
    pairs = found.compact()
    return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True)
class Tile:
    """Rows of a block that are compared with others."""

    block: Vectors  # which may be a part of a mapped file
    start: int  # the number of its first row
    rows: Ints  # (R,) of the block
    others: Vectors  # (C, D)
    columns: Ints  # (C,) numbers of the others


def compare(tile: Tile, least: float) -> tuple[Ints, Ints]:
    one, other = alike(tile.block[tile.rows], tile.others, least)
    return tile.rows[one] + tile.start, tile.columns[other]


def all_tiles(vectors: Vectors, known: int, stop: int) -> Iterator[Tile]:
    """All rows from `known` to `stop`, each with all before it."""
    for row, rows in blocks(vectors[:stop], TILE):
        for column, columns in blocks(vectors[: row + len(rows)], TILE):
            if row + len(rows) > known:
                yield Tile(rows, row, np.arange(len(rows)), columns, np.arange(column, column + len(columns)))


def tiles_by_place(vectors: Vectors, places: Places, memory: int) -> Iterator[list[Tile]]:
    """All rows, a block at a time, each with those that the centres list at which it is looked for."""
    for clusters, listed in groups(places.own, vectors.shape[1] * vectors.itemsize, memory):
        members = np.concatenate([np.empty(0, np.int64), *listed])
        offsets = np.cumsum([0, *map(len, listed)])
        held = gathered(vectors, members)
        for start, block in blocks(vectors, BLOCK):
            looking = places.probes[start : start + len(block)]
            row, probe = np.nonzero((looking >= clusters.start) & (looking < clusters.stop))
            order = np.argsort(looking[row, probe], kind="stable")
            row, cluster = row[order], looking[row, probe][order]
            ends = np.searchsorted(cluster, np.arange(clusters.start, clusters.stop + 1))
            yield [
                Tile(block, start, row[at : min(at + TILE, end)], held[piece], members[piece])
                for (begin, end), own in zip(pairwise(ends.tolist()), pairwise(offsets.tolist()), strict=True)
                for at in range(begin, end, TILE)
                for piece in (slice(first, min(first + TILE, own[1])) for first in range(*own, TILE))
            ]


def groups(own: NDArray[np.int32], size: int, memory: int) -> Iterator[tuple[range, list[Ints]]]:
    """Clusters, one after the other, whose listed vectors of `size` bytes fit into the memory, one at least; and the
    rows that each of them lists."""
    order = np.argsort(own, kind="stable")
    ends = np.searchsorted(own[order], np.arange(int(own.max(initial=-1)) + 2))
    listed = [order[begin : min(end, begin + LISTED)] for begin, end in pairwise(ends.tolist())]
    begin, taken = 0, 0
    for number, rows in enumerate(listed):
        if taken and (taken + len(rows)) * size > memory:
            yield range(begin, number), listed[begin:number]
            begin, taken = number, 0
        taken += len(rows)
    if taken:
        yield range(begin, len(listed)), listed[begin:]


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
