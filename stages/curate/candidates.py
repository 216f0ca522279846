"""Pairs of images that may be copies of each other, without comparing all with all.

The 12 bytes of a view are read as three keys of four bytes, in four ways: 12 tables. Two views that agree in the key of
some table, and differ in few of their 96 bits, make their images a candidate. This is banded hashing, with every band
32 bits wide: chance agreements stay rare among tens of millions of images, and a copy's few wrong bits spare some band.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.curate.signature import BYTES, PLAIN, VIEWS, Bytes, mirror_mask

TABLES = (
    *((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)),
    *((0, 4, 8, 1), (5, 9, 2, 6), (10, 3, 7, 11)),
    *((0, 5, 10, 7), (1, 6, 8, 11), (2, 4, 9, 3)),
    *((0, 6, 9, 11), (1, 4, 10, 2), (3, 5, 7, 8)),
)
MAX_DISTANCE = 12  # of 96 bits
REACH = 16  # in a bucket, an image is compared with the first so many and the last so many before it
AT_ONCE = 1 << 20  # pairs that are compared, or images whose keys are read, at a time
TRIES = 2  # pairs of views for which two images are compared, the nearest ones

Ints = NDArray[np.int64]
Entries = NDArray[np.uint64]


@dataclass(frozen=True)
class Candidates:
    """Pairs of rows, later > earlier, sorted, at most `TRIES` times each; a view is one of `likeness`."""

    later: Ints
    earlier: Ints
    later_view: Ints
    earlier_view: Ints
    largest_bucket: int


def find_candidates(bits: Bytes, flips: bool, memory: int) -> Candidates:
    """`bits` (N, len(VIEWS), BYTES), which may be a mapped file; `memory`: bytes that a block may take.

    What is found for a row depends on the rows before it alone. Raises ValueError for more rows than have a number.
    """
    kinds = len(VIEWS) + (len(PLAIN) if flips else 0)  # of entries of an image
    if len(bits) * kinds >= 2**32:
        raise ValueError(f"{len(bits):,} images are more than one run can compare ({2**32 // kinds:,})")
    blocks = max(1, -(-len(bits) * kinds * 8 * 4 // memory))
    found, largest = [np.empty((0, 3), np.int64)], 0
    for table in range(len(TABLES)):
        for block in range(blocks):
            entries = _entries(bits, table, kinds, block, blocks)
            entries.sort()
            entries, sizes = _one_per_image(entries, kinds)
            largest = max(largest, int(sizes.max(initial=0)))
            for first, second in _pairs_in_buckets(entries):
                found.append(_near(bits, table, kinds, first, second))
    return _nearest(np.concatenate(found), kinds, largest)


def _entries(bits: Bytes, table: int, kinds: int, block: int, blocks: int) -> Entries:
    """Key of the table (upper 32 bits) and number of the entry, row * kinds + view, of all views whose key falls into a
    block."""
    columns, mask = list(TABLES[table]), mirror_mask()
    found = [np.empty(0, np.uint64)]
    step = max(1, AT_ONCE // kinds)
    for start in range(0, len(bits), step):
        part = np.asarray(bits[start : start + step])
        if kinds > len(VIEWS):
            part = np.concatenate([part, part[:, : len(PLAIN)] ^ mask], axis=1)
        keys = np.ascontiguousarray(part[:, :, columns]).view("<u4").reshape(-1).astype(np.uint64)
        numbers = np.arange(start * kinds, start * kinds + len(keys), dtype=np.uint64)
        entries = (keys << np.uint64(32)) | numbers
        found.append(entries[_block_of(keys, blocks) == block] if blocks > 1 else entries)
    return np.concatenate(found)


def _block_of(keys: Entries, blocks: int) -> Entries:
    """Mixed, since keys of images are not spread evenly (Fibonacci hashing)."""
    mixed = (keys * np.uint64(2654435769)) & np.uint64(0xFFFFFFFF)
    return (mixed * np.uint64(blocks)) >> np.uint64(32)


def _one_per_image(entries: Entries, kinds: int) -> tuple[Entries, Ints]:
    """Sorted entries -> those of buckets with several images, one an image and bucket, its first view; and how many
    images each of these buckets has."""
    keys, rows = entries >> np.uint64(32), (entries & np.uint64(0xFFFFFFFF)) // np.uint64(kinds)
    new = np.ones(len(entries), np.bool_)
    new[1:] = (keys[1:] != keys[:-1]) | (rows[1:] != rows[:-1])
    entries, keys = entries[new], keys[new]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
    sizes = np.diff(np.append(begins, len(keys)))
    return entries[np.repeat(sizes > 1, sizes)], sizes[sizes > 1]


def _pairs_in_buckets(entries: Entries) -> Iterator[tuple[Ints, Ints]]:
    """Entry numbers (later, earlier): each with the REACH before it, and with the first REACH of its bucket."""
    keys = entries >> np.uint64(32)
    numbers = (entries & np.uint64(0xFFFFFFFF)).astype(np.int64)
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)
    sizes = np.diff(np.append(begins, len(keys)))
    begin = np.repeat(begins, sizes)
    place = np.arange(len(keys)) - begin  # in the bucket
    at = np.arange(len(keys))
    for step in range(1, REACH + 1):
        chosen = at[place >= step]
        yield from _in_pieces(numbers[chosen], numbers[chosen - step])
    for first in range(REACH):
        chosen = at[place - first > REACH]
        yield from _in_pieces(numbers[chosen], numbers[begin[chosen] + first])


def _in_pieces(later: Ints, earlier: Ints) -> Iterator[tuple[Ints, Ints]]:
    for start in range(0, len(later), AT_ONCE):
        yield later[start : start + AT_ONCE], earlier[start : start + AT_ONCE]


def _near(bits: Bytes, table: int, kinds: int, later: Ints, earlier: Ints) -> Ints:
    """(M, 3) later entry, earlier entry, differing bits: of the pairs that are near enough, of views that are compared,
    and that no table before this one has brought together."""
    allowed = _compared(later % kinds, earlier % kinds)
    later, earlier = later[allowed], earlier[allowed]
    different = _bits_of(bits, later, kinds) ^ _bits_of(bits, earlier, kinds)
    distance = np.bitwise_count(different).sum(1, dtype=np.int64)
    new = distance <= MAX_DISTANCE
    for before in range(table):
        new &= different[:, list(TABLES[before])].any(1)
    return np.stack([later[new], earlier[new], distance[new]], axis=1)


def _compared(one: Ints, other: Ints) -> NDArray[np.bool_]:
    """Whether views are compared: one of them plain, or one mirrored and the other not."""
    mirrored = (one >= len(VIEWS)) != (other >= len(VIEWS))
    upright = (one < len(VIEWS)) & (other < len(VIEWS))
    allowed: NDArray[np.bool_] = mirrored | (upright & ((one < len(PLAIN)) | (other < len(PLAIN))))
    return allowed


def _bits_of(bits: Bytes, entries: Ints, kinds: int) -> Bytes:
    """(M,) -> (M, BYTES)."""
    rows, views = entries // kinds, entries % kinds
    mirrored = views >= len(VIEWS)
    found = np.asarray(bits.reshape(-1, BYTES)[rows * len(VIEWS) + np.where(mirrored, views - len(VIEWS), views)])
    found[mirrored] ^= mirror_mask()
    return found


def _nearest(found: Ints, kinds: int, largest: int) -> Candidates:
    later, earlier = found[:, 0] // kinds, found[:, 1] // kinds
    order = np.lexsort((found[:, 1], found[:, 0], found[:, 2], earlier, later))
    later, earlier, found = later[order], earlier[order], found[order]
    again = np.zeros(len(found), np.int64)  # how many of the same two images are before this one, as far as it matters
    for step in range(1, TRIES + 1):
        again[step:] += (later[step:] == later[:-step]) & (earlier[step:] == earlier[:-step])
    chosen = again < TRIES
    return Candidates(later[chosen], earlier[chosen], found[chosen, 0] % kinds, found[chosen, 1] % kinds, largest)
