"""How alike a near duplicate is to the image that is kept in its place, by what curate has stored of both.

Curate compares an image with all earlier ones and stores no likeness, only what it is computed from: signatures, or
vectors. An image may also have joined a group by way of another one, so that it is not like the kept one at all.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.records import ROWS_PER_PART_LIMIT
from stages import grid
from stages.curate.candidates import MAX_DISTANCE
from stages.curate.likeness import likeness
from stages.curate.pairs import SIGNATURES, fixed
from stages.curate.signature import BYTES, PLAIN, THUMB, VIEWS, Bytes, mirror_mask
from stages.curate.vectors import cosines
from stages.flat import Ints
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import CurateConfig

SETTINGS = {"perceptual": "min_likeness", "embedding": "min_cosine"}  # by `curate.duplicates`
DRAWN = 20_000  # near duplicates that are looked at, of more an even sample
SEED = 20

Likeness = NDArray[Any]  # float32 or float64, as curate compares it; NaN: not to be told


def is_told(io: RunIO, config: CurateConfig) -> bool:
    """Whether there is a threshold, and what curate has stored is at hand."""
    return config.duplicates in SETTINGS and bool(io.files(SIGNATURES))


def drawn(candidates: Ints) -> Ints:
    """At most DRAWN of them, in their order."""
    if len(candidates) <= DRAWN:
        return candidates
    return np.sort(np.random.default_rng(SEED).choice(candidates, DRAWN, replace=False))


def likeness_of(io: RunIO, config: CurateConfig, one: Ints, other: Ints) -> Likeness:
    """(N,) of pairs of images, by their keys as numbers: the cosine of their vectors, or the correlation of their
    details through the views that fit best, of those near enough for curate to look through them."""
    numbers, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    first, second = place[: len(one)], place[len(one) :]
    if not len(one):
        return np.empty(0)
    if config.duplicates == "embedding":
        (vectors,) = _stored(io, numbers, "embedding")
        rows = vectors.view("<f2").astype(np.float16)
        return cosines(rows, rows, first, second)
    bits, thumbs = _stored(io, numbers, "bits", "thumb")
    bits, thumbs = bits.reshape(-1, len(VIEWS), BYTES), thumbs.reshape(-1, THUMB, THUMB)
    return best_likeness(bits[first], thumbs[first], bits[second], thumbs[second], config.flips)


def best_likeness(one: Bytes, one_thumb: Bytes, other: Bytes, other_thumb: Bytes, flips: bool) -> Likeness:
    """(N,) of pairs of signatures: bits (N, len(VIEWS), BYTES) and thumbnails (N, THUMB, THUMB); NaN where no two views
    are near enough."""
    found = np.full(len(one), np.nan, np.float32)
    if flips:
        one, other = _with_mirrored(one), _with_mirrored(other)
    for first, second in product(range(one.shape[1]), range(other.shape[1])):
        if _are_compared(first, second):
            distance = np.bitwise_count(one[:, first] ^ other[:, second]).sum(1)
            near = np.flatnonzero(distance <= MAX_DISTANCE)
            if len(near):
                views = np.full(len(near), first), np.full(len(near), second)
                found[near] = np.fmax(found[near], likeness(one_thumb[near], views[0], other_thumb[near], views[1]))
    return found


def by_threshold(found: Likeness, least: float, whole: int) -> list[dict[str, Any]]:
    """Of `whole` near duplicates, of which those in `found` (N,) are an even sample, how many each threshold from
    `least` up would find to be like the image in their place."""
    thresholds = [least, *(t for t in grid.THRESHOLDS.tolist() if t > least)]
    scale = whole / max(len(found), 1)
    return [{"threshold": t, "pairs": round(int((found >= t).sum()) * scale)} for t in thresholds]


def _are_compared(first: int, second: int) -> bool:
    """As curate does: a view of the whole image with any, a mirrored one with any that is not."""
    mirrored = [view >= len(VIEWS) for view in (first, second)]
    return any(mirrored) and not all(mirrored) if any(mirrored) else min(first, second) < len(PLAIN)


def _with_mirrored(bits: Bytes) -> Bytes:
    return np.concatenate([bits, bits[:, : len(PLAIN)] ^ mirror_mask()], axis=1)


def _stored(io: RunIO, numbers: Ints, *columns: str) -> list[Bytes]:
    """(N, size) of each column, of the pairs (N,) of these ascending keys; zeros for null. One part at a time."""
    found: list[list[Bytes]] = [[] for _ in columns]
    parts = numbers // ROWS_PER_PART_LIMIT
    for part in np.unique(parts).tolist():
        table = io.read_part(SIGNATURES, part, ["key", *columns])
        rows = table.take(np.searchsorted(table["key"].cast("int64").to_numpy(), numbers[parts == part]))
        for values, name in zip(found, columns, strict=True):
            values.append(fixed(rows[name], rows[name].type.byte_width))
    return [np.concatenate(values) for values in found]
