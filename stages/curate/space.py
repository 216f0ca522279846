"""The vectors of all images of a run, in a file of the machine's scratch space, and the clusters they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.curate.clusters import Centres, kmeans, read_centres
from stages.curate.neighbours import Places, find_neighbours, find_places
from stages.curate.pairs import SIGNATURES
from stages.curate.vectors import Flags, Ints, Vectors
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import CurateConfig


@dataclass(frozen=True)
class Space:
    """N images; those of benchmarks come first."""

    items: Ints  # (N,) the number of each among benchmarks and pairs
    known: int  # of benchmarks
    vectors: Vectors  # (N, D), a mapped file
    centres: Centres
    places: Places

    def alike(self, config: CurateConfig) -> tuple[Ints, Ints]:
        """(M,), (M,) later and earlier item of pairs that are duplicates."""
        first, memory = self.known + config.sample, int(config.memory * 2**30)
        later, earlier = find_neighbours(
            self.vectors, self.places, self.known, first, config.min_cosine, memory, config.threads
        )
        return self.items[later], self.items[earlier]

    def clusters(self, count: int) -> Ints:
        """(count,) the cluster of each item; -1: it is none of the images."""
        found = np.full(count, -1, np.int64)
        found[self.items] = self.places.own
        return found


def open_space(
    io: RunIO, scratch: Path, known: Vectors, wanted: Flags, config: CurateConfig, made_of: str
) -> Space | None:
    """`known` (B, D): vectors of benchmarks, where these are compared; `wanted` (B + P,): the items that take part, one
    for each image; `made_of`: a digest of the settings, with which centres stay those that were made first. None where
    no pair has a vector."""
    path = scratch / "vectors"
    items, width = spool_vectors(io, known, wanted, path)
    before = int((items < len(known)).sum())
    if len(items) == before:
        return None
    vectors = np.memmap(path, np.float16, "r", shape=(len(items), width))
    centres = read_centres(io, made_of)
    if centres is None:
        centres = kmeans(np.asarray(vectors[before : before + config.sample]), config.clusters)
    return Space(items, before, vectors, centres, find_places(vectors, centres.vectors, config.threads))


def spool_vectors(io: RunIO, known: Vectors, wanted: Flags, path: Path) -> tuple[Ints, int]:
    """Writes the vectors of benchmarks and of all parts to a file; the items (N,) that its rows belong to, and D."""
    start, width = len(known), known.shape[1]
    items = [np.flatnonzero(wanted[:start]) if width else np.empty(0, np.int64)]
    with path.open("wb") as file:
        file.write(known[items[0]].astype("<f2").tobytes())
        for part in io.parts():
            values = io.read_part(SIGNATURES, part, ["embedding"])["embedding"]
            chosen = np.asarray(values.is_valid()) & wanted[start : start + len(values)]
            rows = values.filter(chosen).to_pylist() if chosen.any() else []
            file.write(b"".join(rows))
            width = len(rows[0]) // 2 if rows else width
            items.append(start + np.flatnonzero(chosen))
            start += len(values)
    return np.concatenate(items), width
