"""Pairs of images with like vectors, without comparing all with all: by clusters, and within these exactly.

The first images are compared all with all. Every later one is listed by the centre that is nearest to it, and compared
with those that the centres nearest to it list; two images are found if either is listed where the other looks. Memory
holds the listed vectors of as many clusters as fit; all others pass by in blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stages.curate.vectors import Cosines, Ints, Vectors, alike, nearest

PROBES = 3  # centres at which an image is looked for
LISTED = 1 << 16  # images that a centre lists, the first ones
KEPT = 16  # of the earlier images that an image is like, so many are kept, the first ones
BLOCK = 1 << 17  # rows that pass by at a time
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


def find_places(vectors: Vectors, centres: Vectors) -> Places:
    """`vectors` (N, D) may be a mapped file."""
    pieces = [nearest(block, centres, PROBES) for _, block in blocks(vectors)]
    probes = [probes for probes, _ in pieces]
    empty = np.empty((0, min(PROBES, len(centres))), np.int32)
    return Places(np.concatenate([empty, *probes]), np.concatenate([np.empty(0), *(near for _, near in pieces)]))


def find_neighbours(
    vectors: Vectors, places: Places, known: int, first: int, least: float, memory: int
) -> tuple[Ints, Ints]:
    """(M,), (M,) later and earlier row of pairs with a cosine of `least` or more.

    The first `known` rows of `vectors` (N, D), which may be a mapped file, are not compared with each other; the first
    `first` ones are compared all with all, and those after them by their places. `memory`: bytes that the vectors of a
    group of clusters may take. What is found for a row depends on the rows before it alone.
    """
    found = Found()
    compare_all(vectors, known, min(first, len(vectors)), least, found)
    if len(vectors) > first:
        compare_by_place(vectors, places, first, least, memory, found)
    pairs = found.compact()
    return pairs[:, 0], pairs[:, 1]


def compare_all(vectors: Vectors, known: int, stop: int, least: float, found: Found) -> None:
    for row in range(known, stop, TILE):
        rows = np.asarray(vectors[row : min(row + TILE, stop)])
        for column in range(0, row + len(rows), TILE):
            columns = np.asarray(vectors[column : min(column + TILE, row + len(rows))])
            one, other = np.nonzero(alike(rows, columns, least))
            found.add(one + row, other + column, known)


def compare_by_place(vectors: Vectors, places: Places, first: int, least: float, memory: int, found: Found) -> None:
    for clusters, listed in groups(places.own, vectors.shape[1] * vectors.itemsize, memory):
        members = np.concatenate([np.empty(0, np.int64), *listed])
        offsets = np.cumsum([0, *map(len, listed)])
        held = gathered(vectors, members)
        for start, block in blocks(vectors):
            looking = places.probes[start : start + len(block)]
            row, probe = np.nonzero((looking >= clusters.start) & (looking < clusters.stop))
            cluster = looking[row, probe]
            order = np.argsort(cluster, kind="stable")
            row, cluster = row[order], cluster[order]
            ends = np.searchsorted(cluster, np.arange(clusters.start, clusters.stop + 1))
            for number in range(len(listed)):
                rows, own = row[ends[number] : ends[number + 1]], slice(offsets[number], offsets[number + 1])
                compare_tiles(block, rows, start, held[own], members[own], first, least, found)


def compare_tiles(
    block: Vectors, rows: Ints, start: int, held: Vectors, members: Ints, first: int, least: float, found: Found
) -> None:
    """Rows of a block, which begins at `start`, with the members (M,) of a cluster, whose vectors are held (M, D)."""
    for row in range(0, len(rows), TILE):
        own = rows[row : row + TILE]
        for column in range(0, len(members), TILE):
            one, other = np.nonzero(alike(block[own], held[column : column + TILE], least))
            found.add(own[one] + start, members[other + column], first)


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
    for start, block in blocks(vectors):
        begin, end = np.searchsorted(ordered, [start, start + len(block)])
        found[order[begin:end]] = block[ordered[begin:end] - start]
    return found


def blocks(vectors: Vectors) -> Iterator[tuple[int, Vectors]]:
    for start in range(0, len(vectors), BLOCK):
        yield start, np.asarray(vectors[start : start + BLOCK])
