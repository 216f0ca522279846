"""Captions that are nearly the same, by MinHash: how many of the hashes of two captions agree estimates what share of
their pieces they have in common (Broder, On the resemblance and containment of documents, 1997).

Pieces are all runs of five bytes, so that a word more or less changes few of them in any language. Captions that agree
in a band of four hashes are compared, as images are in `stages/curate/candidates.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stages.curate.candidates import HALF, LOW, buckets, pairs_in_buckets
from stages.curate.components import roots
from stages.curate.pairs import first_of, spool
from stages.curate.rules import folded
from stages.curate.scratch import mapped
from stages.geometry import Flags
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import CurateConfig

HASHES = 64
BAND = 4  # hashes that are looked up together: captions with 0.8 in common agree in one of 16 with 0.9998
PIECE = 5  # bytes
SEED = 20
COLUMN = "minhash"

Hashes = NDArray[np.uint64]
Ints = NDArray[np.int64]


def minhashes(captions: Sequence[str]) -> NDArray[np.uint32]:
    """(N, HASHES) of captions without regard to case, kinds of white space and Unicode forms."""
    texts = [f" {folded(caption)} ".encode().ljust(PIECE) for caption in captions]
    if not texts:
        return np.empty((0, HASHES), np.uint32)
    flat = np.frombuffer(b"".join(texts), np.uint8).astype(np.uint64)
    lengths = np.asarray([len(text) for text in texts])
    ends = np.cumsum(lengths)
    begins = ends - lengths
    piece = np.zeros(len(flat) - PIECE + 1, np.uint64)
    for place in range(PIECE):
        piece = (piece << np.uint64(8)) | flat[place : len(flat) - PIECE + 1 + place]
    whole = np.ones(len(piece), np.bool_)  # not over the end of a caption
    for place in range(1, PIECE):
        whole[ends[:-1] - place] = False
    draw = np.random.default_rng(SEED)
    factors = draw.integers(0, 2**63, HASHES, np.uint64) * np.uint64(2) + np.uint64(1)
    mixed = piece * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    starts = np.concatenate([[0], np.cumsum(whole)])[begins]
    mixed = mixed[whole]
    found = [np.minimum.reduceat(((mixed * factor) >> HALF).astype(np.uint32), starts) for factor in factors]
    return np.stack(found, axis=1)


def are_compared(config: CurateConfig) -> bool:
    return config.max_caption_repeats is not None and config.caption_likeness < 1


def first_alike(io: RunIO, said: Hashes, taking_part: Flags, least: float) -> Ints:
    """(P,) the first pair of those whose captions are alike, directly or by way of earlier ones; `said` (P,): hashes of
    captions. As with images, a later caption joins a component and never re-opens it. Only pairs that take part count.
    """
    own = np.arange(len(said))
    members = np.flatnonzero(taking_part)
    first = own.copy()
    first[members] = members[first_of(said[members])]
    items, _ = spool(io, COLUMN, np.empty((0, HASHES), np.uint32), taking_part & (first == own))
    hashes = mapped(io.scratch.path(COLUMN), (len(items), HASHES), np.uint32)
    later, earlier = _alike(hashes, least)
    return roots(len(said), np.append(items[later], own[first != own]), np.append(items[earlier], first[first != own]))


def _alike(hashes: NDArray[np.uint32], least: float) -> tuple[Ints, Ints]:
    """Rows of (N, HASHES) of which a share of at least `least` of the hashes agrees, later and earlier."""
    found = [np.empty(0, np.uint64)]
    for band in range(0, HASHES, BAND):
        keys = np.zeros(len(hashes), np.uint64)
        for column in hashes[:, band : band + BAND].T:
            keys = (keys ^ column) * np.uint64(0x9E3779B97F4A7C15)
        entries = np.sort((keys & ~LOW) | np.arange(len(keys), dtype=np.uint64))
        for shared in buckets(entries, kinds=1):
            for later, earlier in pairs_in_buckets(shared):
                same = (hashes[later] == hashes[earlier]).mean(1) >= least
                found.append((later[same].astype(np.uint64) << HALF) | earlier[same])
    pairs = np.unique(np.concatenate(found))
    return (pairs >> HALF).astype(np.int64), (pairs & LOW).astype(np.int64)
