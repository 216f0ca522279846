"""Which kinds of images are kept, and how many of each: what is near a seed set, and no cluster in excess.

Both are settled on the sample, the first images of the corpus: how far from a seed its k-th nearest image is, and how
far from a centre the last image is that is kept. These radii are stored; every later image is judged by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stages.curate.clusters import CLUSTERS, MADE_OF, write_centres
from stages.curate.space import Space
from stages.curate.vectors import SLACK, Cosines, Flags, Vectors, alike, cosines
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import CurateConfig

TILE = 2048  # seeds, and images, that are compared at a time
SEEDS = f"{CLUSTERS}/seeds.parquet"


@dataclass(frozen=True)
class Seeds:
    """S images that a corpus is to be like."""

    names: Sequence[str]
    vectors: Vectors  # (S, D)
    radii: Cosines  # (S,) an image is near from this cosine up


def judge(
    io: RunIO,
    space: Space,
    kept: Flags,
    config: CurateConfig,
    made_of: str,
    read: Callable[[], tuple[Sequence[str], Vectors]],
) -> tuple[Flags, Flags]:
    """(B + P,), (B + P,) which items are far from all seeds, and which are too many of their cluster.

    `kept` (B + P,): those that have no other image in their place; `read`: names and vectors of the seed set. Writes
    the centres and the seeds of the run.
    """
    sample = slice(space.known, space.known + space.centres.images)
    rows, far, crowd = kept[space.items], np.zeros(len(kept), np.bool_), np.zeros(len(kept), np.bool_)
    if config.near:
        seeds = read_seeds(io, made_of)
        if seeds is None:
            seeds = settled(*read(), space.vectors[sample][rows[sample]], config.near_k)
        write_seeds(io, seeds, made_of)
        near = are_near(space.vectors, seeds)
        far[space.items] = ~near
        rows &= near
    own, closeness = space.places.own, space.places.closeness
    members = space.centres.members
    if members is None:
        chosen = rows[sample]
        members = by_cluster(own[sample][chosen], closeness[sample][chosen], len(space.centres.sizes))
    write_centres(io, replace(space.centres, members=members), made_of)
    if config.keep_per_cluster is not None:
        crowd[space.items] = crowded(own, closeness, members, config.keep_per_cluster)
    return far, crowd


def settled(names: Sequence[str], seeds: Vectors, sample: Vectors, count: int) -> Seeds:
    """Radii at which each seed (S, D) has `count` images of the sample (N, D); -1 where there are not so many."""
    radii = np.full(len(seeds), -1.0)
    if len(sample) > count:
        for start in range(0, len(seeds), TILE):
            block = seeds[start : start + TILE]
            products = block.astype(np.float32) @ sample.astype(np.float32).T
            least = np.partition(products, len(sample) - count, axis=1)[:, len(sample) - count]
            row, near = np.nonzero(products >= (least - 2 * SLACK)[:, None])
            found = cosines(block, sample, row, near)
            order = np.lexsort((-found, row))  # of each seed, the nearest first
            begins = np.searchsorted(row, np.arange(len(block)))
            radii[start : start + len(block)] = found[order][begins + count - 1]
    return Seeds(names, seeds, radii)


def are_near(vectors: Vectors, seeds: Seeds) -> Flags:
    """(N,) whether each image (N, D), of a mapped file, is within the radius of a seed."""
    found = np.zeros(len(vectors), np.bool_)
    for start in range(0, len(vectors), TILE):
        block = np.asarray(vectors[start : start + TILE])
        for at in range(0, len(seeds.vectors), TILE):
            _, near = alike(seeds.vectors[at : at + TILE], block, seeds.radii[at : at + TILE])
            found[start + near] = True
    return found


def by_cluster(own: NDArray[np.int32], closeness: Cosines, clusters: int) -> list[Cosines]:
    """How close the images (N,) of each cluster are to its centre, the closest first."""
    order = np.lexsort((-closeness, own))
    ends = np.searchsorted(own[order], np.arange(clusters + 1))
    return [closeness[order[begin:end]] for begin, end in pairwise(ends.tolist())]


def crowded(own: NDArray[np.int32], closeness: Cosines, members: Sequence[Cosines], most: int) -> Flags:
    """(N,) whether each image is further from its centre than the last of `most` that are kept of its cluster in the
    sample; clusters that have no more in the sample are kept whole."""
    radii = np.array([near[most - 1] if len(near) > most else -np.inf for near in members])
    found: Flags = closeness < radii[own]
    return found


def read_seeds(io: RunIO, made_of: str) -> Seeds | None:
    """Those of an earlier run, if they were settled with the settings of this digest."""
    import pyarrow.parquet as pq

    if SEEDS not in io.files(CLUSTERS):
        return None
    with io.open(SEEDS) as file:
        table = pq.read_table(file)
    if table.schema.metadata[MADE_OF] != made_of.encode():
        return None
    vectors = np.frombuffer(b"".join(table["vector"].to_pylist()), "<f2").astype(np.float16)
    return Seeds(table["name"].to_pylist(), vectors.reshape(len(table), -1), table["radius"].to_numpy())


def write_seeds(io: RunIO, seeds: Seeds, made_of: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = [row.astype("<f2").tobytes() for row in seeds.vectors]
    table = pa.table(
        {
            "name": pa.array(seeds.names, pa.string()),
            "radius": pa.array(seeds.radii, pa.float64()),
            "vector": pa.array(vectors, pa.binary()),
        }
    )
    with io.create(SEEDS) as file:
        pq.write_table(table.replace_schema_metadata({MADE_OF: made_of}), file)
