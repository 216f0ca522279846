"""The vectors of all images of a run, in a scratch file, and the clusters they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.curate.clusters import Centres, kmeans, read_centres
from stages.curate.neighbours import Places, Rows, find_neighbours, find_places
from stages.curate.pairs import spool
from stages.curate.vectors import Flags, Ints, Vectors
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import CurateConfig


@dataclass(frozen=True)
class Space:
    """N images; those of benchmarks come first."""

    items: Ints  # (N,) the number of each among benchmarks and pairs
    known: int  # of benchmarks
    rows: Rows
    vectors: Vectors  # (N, D), the mapped file
    centres: Centres
    places: Places

    def alike(self, io: RunIO, config: CurateConfig) -> tuple[Ints, Ints]:
        """(M,), (M,) later and earlier item of pairs that are duplicates."""
        first, memory = self.known + config.sample, int(config.memory * 2**30)
        later, earlier = find_neighbours(
            io, self.rows, self.places, self.known, first, config.min_cosine, memory, config.threads
        )
        return self.items[later], self.items[earlier]

    def clusters(self, count: int) -> Ints:
        """(count,) the cluster of each item; -1: it is none of the images."""
        found = np.full(count, -1, np.int64)
        found[self.items] = self.places.own
        return found


def open_space(io: RunIO, known: Vectors, wanted: Flags, config: CurateConfig, made_of: str) -> Space | None:
    """`known` (B, D): vectors of benchmarks, where these are compared; `wanted` (B + P,): the items that take part, one
    for each image; `made_of`: a digest of the settings, with which centres stay those that were made first. None where
    no pair has a vector."""
    items, rows = spool_vectors(io, known, wanted)
    before = int((items < len(known)).sum())
    if len(items) == before:
        return None
    vectors, centres = rows.opened(io.scratch), read_centres(io, made_of)
    if centres is None:
        centres = kmeans(np.asarray(vectors[before : before + config.sample]), config.clusters)
    return Space(items, before, rows, vectors, centres, find_places(io, rows, centres.vectors, config.threads))


def spool_vectors(io: RunIO, known: Vectors, wanted: Flags) -> tuple[Ints, Rows]:
    """Writes the vectors of benchmarks and of all parts to a scratch file; the items (N,) that its rows belong to."""
    if not known.shape[1]:
        wanted = np.concatenate([np.zeros(len(known), np.bool_), wanted[len(known) :]])
    items, size = spool(io, "embedding", known.astype("<f2"), wanted)
    return items, Rows("embedding", io.scratch.sha256("embedding"), len(items), size // 2)
