"""Pairs of images that may be copies of each other, without comparing all with all.

The 12 bytes of a view are read as three keys of four bytes, in four ways: 12 tables. Two views that agree in the key of
some table, and differ in few of their 96 bits, make their images a candidate. This is banded hashing, with every band
32 bits wide: chance agreements stay rare among tens of millions of images, and a copy's few wrong bits spare some band.

A table is searched in blocks, each of the keys of one share of all keys. A block sorts its keys, so that equal ones lie
side by side. Blocks need nothing of each other: they run on any worker, and their number bounds the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.curate.scratch import load, mapped, save
from stages.curate.signature import BYTES, PLAIN, VIEWS, Bytes, mirror_mask
from stages.stage import RunIO, Scratch

TABLES = (
    *((0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)),
    *((0, 4, 8, 1), (5, 9, 2, 6), (10, 3, 7, 11)),
    *((0, 5, 10, 7), (1, 6, 8, 11), (2, 4, 9, 3)),
    *((0, 6, 9, 11), (1, 4, 10, 2), (3, 5, 7, 8)),
)
MAX_DISTANCE = 12  # of 96 bits
REACH = 16  # in a bucket, an image is compared with the first so many and the last so many before it
AT_ONCE = 1 << 18  # entries or pairs that are worked on at a time, so that they stay in the processor's cache
ENTRY = 18  # bytes that a block takes for an entry at most: eight, twice while they are gathered, and its slots
ENTRIES = 1 << 32  # that have a number
TRIES = 2  # pairs of views for which two images are compared, the nearest ones

Ints = NDArray[np.int64]
Entries = NDArray[np.uint64]  # upper half: a key; lower half: the number of an entry, row * kinds + view
Numbers = NDArray[np.uint32]
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


@dataclass(frozen=True)
class Candidates:
    """Pairs of rows, later > earlier, sorted, at most `TRIES` times each; a view is one of `likeness`."""

    later: Ints
    earlier: Ints
    later_view: Ints
    earlier_view: Ints
    largest_bucket: int  # images, of the buckets that a whole one is in


@dataclass(frozen=True)
class Search:
    """A block of a table: what `_near` finds among the keys of one share, and the images of its largest bucket."""

    bits: str  # a scratch file (rows, len(VIEWS), BYTES)
    digest: str  # of its content
    rows: int
    flips: bool
    table: int
    number: int
    of: int  # blocks of the table

    @property
    def name(self) -> str:
        kind = "flips" if self.flips else "upright"
        return f"candidates/{self.digest}/{kind}-{self.table:02d}-{self.number}-of-{self.of}.npy"

    def run(self, scratch: Scratch) -> None:
        bits = mapped(scratch.path(self.bits), (self.rows, len(VIEWS), BYTES))
        near, largest = _search(bits, kinds_of(self.flips), self.table, self.number, self.of)
        save(scratch, self.name, np.append(near, np.array([[largest], [0]], np.uint64), axis=1))


def kinds_of(flips: bool) -> int:
    """Of entries of an image."""
    return len(VIEWS) + (len(PLAIN) if flips else 0)


def search_bytes(rows: int, flips: bool) -> int:
    """What the search of a table takes, if it is one block."""
    return rows * kinds_of(flips) * ENTRY


def find_candidates(io: RunIO, bits: str, rows: int, flips: bool, memory: int, threads: int = 1) -> Candidates:
    """`bits`: a scratch file of this process (rows, len(VIEWS), BYTES); `memory`: bytes that `threads` blocks may take.

    What is found for a row depends on the rows before it alone. Raises ValueError for more rows than have a number.
    """
    if rows * kinds_of(flips) >= ENTRIES:
        raise ValueError(f"{rows:,} images are more than one run can compare ({ENTRIES // kinds_of(flips):,})")
    size = search_bytes(rows, flips)
    of = max(threads, -(-threads * size // memory))
    digest = io.scratch.sha256(bits)
    tables = [
        [Search(bits, digest, rows, flips, table, number, of) for number in range(of)] for table in range(len(TABLES))
    ]
    io.run_blocks([block for table in tables for block in table], "searching for copies", threads, size // of)
    found, largest = np.empty((2, 0), np.uint64), 0
    for table in tables:
        near = [load(io.scratch, block.name) for block in table]
        largest = max([largest, *(int(own[0, -1]) for own in near)])
        found = _nearest(np.concatenate([found, *(own[:, :-1] for own in near)], axis=1))
    pair, rank = found
    later, earlier = (pair >> HALF).astype(np.int64), (pair & LOW).astype(np.int64)
    views = (rank & np.uint64(0xFFFF)).astype(np.int64)
    return Candidates(later, earlier, views >> 8, views & 0xFF, largest)


def _search(bits: Bytes, kinds: int, table: int, block: int, blocks: int) -> tuple[Entries, int]:
    """What `_near` finds in a block of a table, and the images of its largest bucket."""
    found, largest = [np.empty((2, 0), np.uint64)], 0
    entries = _that_may_meet(list(_entries(bits, kinds, table, block, blocks)), kinds)
    entries.sort()
    for shared in buckets(entries, kinds):
        largest = max(largest, _largest(shared, kinds))
        found.extend(_near(bits, kinds, table, later, earlier) for later, earlier in pairs_in_buckets(shared))
    return _nearest(np.concatenate(found, axis=1)), largest


def _entries(bits: Bytes, kinds: int, table: int, block: int, blocks: int) -> Iterator[Entries]:
    """Of all views whose key falls into a block, by its first two bytes, in pieces. These bytes are mixed for it, since
    those of images are not spread evenly (Fibonacci hashing)."""
    mask, (one, other, *_) = mirror_mask(), TABLES[table]
    first, stop = (-(-number * 2**16 // blocks) for number in (block, block + 1))
    step = max(1, AT_ONCE // kinds)
    for start in range(0, len(bits), step):
        part = np.asarray(bits[start : start + step])
        if kinds > len(VIEWS):
            part = np.concatenate([part, part[:, : len(PLAIN)] ^ mask], axis=1)
        views = part.reshape(-1, BYTES)
        pair = views[:, one].astype(np.uint16) | (views[:, other].astype(np.uint16) << np.uint16(8))
        mixed = pair * np.uint16(40503)
        chosen = np.flatnonzero((mixed >= first) & (mixed < stop))
        keys = np.take(views[chosen], TABLES[table], axis=1).view(np.uint32)[:, 0]
        yield (keys.astype(np.uint64) << HALF) | (chosen + start * kinds).astype(np.uint64)


def _that_may_meet(pieces: list[Entries], kinds: int) -> Entries:
    """Without most of the crops whose key no whole image has: crops are only compared with those. Empties the pieces of
    what is left out.

    Three quarters of all views are crops, so that little is left to sort. Keys that share a slot stay, too.
    """
    shift = 32 - min(32, max(1, sum(map(len, pieces)).bit_length()))
    met = np.zeros(1 << (32 - shift), np.bool_)
    for piece in pieces:
        met[_slots(piece[~_are_crops(piece, kinds)], shift)] = True
    for number, piece in enumerate(pieces):
        pieces[number] = piece[~_are_crops(piece, kinds) | met[_slots(piece, shift)]]
    return np.concatenate([np.empty(0, np.uint64), *pieces])


def _are_crops(entries: Entries, kinds: int) -> NDArray[np.bool_]:
    kind = _numbers(entries) % np.uint32(kinds)
    found: NDArray[np.bool_] = (kind >= len(PLAIN)) & (kind < len(VIEWS))
    return found


def _slots(entries: Entries, shift: int) -> Numbers:
    """Places of keys in a table of 2^(32 - shift)."""
    return ((entries >> HALF).astype(np.uint32) * np.uint32(2654435769)) >> np.uint32(shift)


def buckets(entries: Entries, kinds: int) -> Iterator[Entries]:
    """Sorted entries in pieces, each of whole buckets with several rows."""
    start = 0
    while start < len(entries):
        last = min(start + AT_ONCE, len(entries)) - 1
        stop = int(np.searchsorted(entries, entries[last] | LOW, side="right"))
        yield _one_per_image(entries[start:stop], kinds)[0]
        start = stop


def _one_per_image(entries: Entries, kinds: int) -> tuple[Entries, Ints]:
    """Sorted entries -> those of buckets with several images, one an image and bucket, its first view; and how many
    images each of these buckets has."""
    keys = (entries >> HALF).astype(np.uint32)
    same = keys[1:] == keys[:-1]
    shared = np.zeros(len(entries), np.bool_)
    shared[1:] = same
    shared[:-1] |= same
    entries, keys = entries[shared], keys[shared]
    rows = _numbers(entries) // np.uint32(kinds)
    new = np.ones(len(entries), np.bool_)
    new[1:] = (keys[1:] != keys[:-1]) | (rows[1:] != rows[:-1])
    entries, keys = entries[new], keys[new]
    sizes = np.diff(_begins(keys), append=len(keys))
    return entries[np.repeat(sizes > 1, sizes)], sizes[sizes > 1]


def _largest(entries: Entries, kinds: int) -> int:
    """The images of the largest bucket, of those that a whole image is in."""
    begins = _begins((entries >> HALF).astype(np.uint32))
    if not len(begins):
        return 0
    whole = np.logical_or.reduceat(~_are_crops(entries, kinds), begins)
    return int(np.diff(begins, append=len(entries))[whole].max(initial=0))


def _numbers(entries: Entries) -> Numbers:
    return (entries & LOW).astype(np.uint32)


def _begins(keys: Numbers) -> Ints:
    """Where each bucket begins."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.int64)


def pairs_in_buckets(entries: Entries) -> Iterator[tuple[Numbers, Numbers]]:
    """Entry numbers (later, earlier): each with the REACH before it, and with the first REACH of its bucket."""
    numbers, begins = _numbers(entries), _begins((entries >> HALF).astype(np.uint32))
    begin = np.repeat(begins, np.diff(begins, append=len(entries)))
    at = np.arange(len(entries))
    place = at - begin  # in the bucket
    for step in range(1, REACH + 1):
        at = at[place[at] >= step]
        yield from _in_pieces(numbers[at], numbers[at - step])
    for first in range(REACH):
        at = at[place[at] - first > REACH]
        yield from _in_pieces(numbers[at], numbers[begin[at] + first])


def _in_pieces(later: Numbers, earlier: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    for start in range(0, len(later), AT_ONCE):
        yield later[start : start + AT_ONCE], earlier[start : start + AT_ONCE]


def _near(bits: Bytes, kinds: int, table: int, later: Numbers, earlier: Numbers) -> Entries:
    """(2, M): later row and earlier row; differing bits, later view and earlier view. Of the pairs of entries that are
    near enough, of views that are compared, and that no table before this one has brought together."""
    allowed = _compared(later % np.uint32(kinds), earlier % np.uint32(kinds))
    later, earlier = later[allowed], earlier[allowed]
    different = _bits_of(bits, later, kinds) ^ _bits_of(bits, earlier, kinds)
    counts = np.bitwise_count(different)
    distance = counts[:, 0] + counts[:, 1] + counts[:, 2]
    near = np.flatnonzero(distance <= MAX_DISTANCE)
    apart = different[near].view(np.uint8)  # (M, BYTES)
    for before in range(table):
        new = apart[:, list(TABLES[before])].any(1)
        near, apart = near[new], apart[new]
    rows = [number[near].astype(np.uint64) // np.uint64(kinds) for number in (later, earlier)]
    views = [number[near].astype(np.uint64) % np.uint64(kinds) for number in (later, earlier)]
    rank = (distance[near].astype(np.uint64) << np.uint64(16)) | (views[0] << np.uint64(8)) | views[1]
    return np.stack([(rows[0] << HALF) | rows[1], rank])


def _compared(one: Numbers, other: Numbers) -> NDArray[np.bool_]:
    """Whether views are compared: one of them plain, or one mirrored and the other not."""
    mirrored = (one >= len(VIEWS)) != (other >= len(VIEWS))
    upright = (one < len(VIEWS)) & (other < len(VIEWS))
    allowed: NDArray[np.bool_] = mirrored | (upright & ((one < len(PLAIN)) | (other < len(PLAIN))))
    return allowed


def _bits_of(bits: Bytes, numbers: Numbers, kinds: int) -> Numbers:
    """(M,) -> (M, BYTES / 4)."""
    views = bits.view(np.uint32).reshape(-1, BYTES // 4)
    if kinds == len(VIEWS):
        return np.take(views, numbers, axis=0)
    rows, kind = numbers // np.uint32(kinds), numbers % np.uint32(kinds)
    mirrored = kind >= len(VIEWS)
    found = np.take(
        views, rows * np.uint32(len(VIEWS)) + np.where(mirrored, kind - np.uint32(len(VIEWS)), kind), axis=0
    )
    found[mirrored] ^= mirror_mask().view(np.uint32)
    return found


def _nearest(found: Entries) -> Entries:
    """(2, M) of `_near` -> sorted, the TRIES nearest of each pair of rows."""
    pair, rank = found[:, np.lexsort(found[::-1])]
    chosen = np.ones(len(pair), np.bool_)
    chosen[TRIES:] = pair[TRIES:] != pair[:-TRIES]
    return np.stack([pair[chosen], rank[chosen]])
