"""Clusters of images, by spherical k-means over the first ones of the corpus. Their centres are made once, and kept.

A run that finds centres takes them as they are, so that an image has the same cluster however the corpus grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stages.curate.vectors import Cosines, Ints, Vectors, nearest
from stages.stage import RunIO

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLUSTERS = "summaries/clusters"
FILE = f"{CLUSTERS}/centres.parquet"
MADE_OF = b"made_of"  # in the file's metadata
ROUNDS = 20
MEMBERS = 16  # images of the sample there are at least for each centre
ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class Centres:
    """K centres, and how many images of the sample each has drawn."""

    vectors: Vectors  # (K, D)
    sizes: Ints  # (K,)
    members: Sequence[Cosines] | None = None  # how close those of them that are kept are, the closest first

    @property
    def images(self) -> int:
        """Of the sample."""
        return int(self.sizes.sum())


def kmeans(sample: Vectors, count: int, seed: int = 0) -> Centres:
    """At most `count` centres of a sample (N, D), one for every MEMBERS images at least.

    Spherical k-means (Dhillon and Modha 2001), from images drawn at random. A centre without images moves to the image
    that is furthest from its own. Sums are exact, and centres are rounded to float16 after every round.
    """
    count = max(1, min(count, len(sample) // MEMBERS))
    if not len(sample):
        return Centres(sample, np.empty(0, np.int64))
    centres = sample[np.sort(np.random.default_rng(seed).choice(len(sample), count, replace=False))]
    own = np.full(len(sample), -1, np.int32)
    for _ in range(ROUNDS):
        before, (own, closeness) = own, assign(sample, centres)
        sizes = np.bincount(own, minlength=count)
        if (own == before).all():
            break
        centres = means(sample, own, centres)
        empty = np.flatnonzero(sizes == 0)
        centres[empty] = sample[np.argsort(closeness, kind="stable")[: len(empty)]]
    own, _ = assign(sample, centres)
    return Centres(centres, np.bincount(own, minlength=count))


def assign(rows: Vectors, centres: Vectors) -> tuple[NDArray[np.int32], Cosines]:
    """(N,) the nearest centre of each row, and its product with it."""
    own, product = nearest(rows, centres, 1)
    return own[:, 0], product


def means(rows: Vectors, own: NDArray[np.int32], centres: Vectors) -> Vectors:
    """(K, D) the mean direction of each cluster's rows; one without rows stays where it is."""
    total = np.zeros(centres.shape, np.float64)
    for at in range(0, len(rows), ROWS_AT_ONCE):
        now = own[at : at + ROWS_AT_ONCE]
        order = np.argsort(now, kind="stable")
        begins = np.flatnonzero(np.concatenate([[True], np.diff(now[order]) != 0]))
        total[now[order][begins]] += np.add.reduceat(rows[at : at + ROWS_AT_ONCE][order].astype(np.float64), begins)
    length = np.sqrt((total * total).sum(1, keepdims=True))
    found = np.where(length > 0, total / np.maximum(length, 1e-9), centres)
    return found.astype(np.float16)


def read_centres(io: RunIO, made_of: str) -> Centres | None:
    """Those of an earlier run, if they were made with the settings of this digest."""
    import pyarrow.parquet as pq

    if FILE not in io.files(CLUSTERS):
        return None
    with io.open(FILE) as file:
        table = pq.read_table(file)
    if table.schema.metadata[MADE_OF] != made_of.encode():
        return None
    vectors = np.frombuffer(b"".join(table["centre"].to_pylist()), "<f2").astype(np.float16)
    sizes = np.asarray(table["size"].to_pylist(), np.int64)
    members = [np.asarray(near, np.float64) for near in table["closeness"].to_pylist()]
    return Centres(vectors.reshape(len(sizes), -1), sizes, members)


def write_centres(io: RunIO, centres: Centres, made_of: str) -> None:
    """Always, since a file that is not written again is taken for one of an earlier result."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    members = [near.tolist() for near in centres.members or ()] or [[]] * len(centres.sizes)
    table = pa.table(
        {
            "cluster": pa.array(range(len(centres.sizes)), pa.int32()),
            "size": pa.array(centres.sizes, pa.int64()),
            "closeness": pa.array(members, pa.list_(pa.float64())),
            "centre": pa.array([row.astype("<f2").tobytes() for row in centres.vectors], pa.binary()),
        }
    )
    with io.create(FILE) as file:
        pq.write_table(table.replace_schema_metadata({MADE_OF: made_of}), file)
