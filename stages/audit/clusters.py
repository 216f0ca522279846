"""Clusters of images as figures of the report: their sizes in the whole corpus, and what is typical of the largest.

Typical images and phrases are looked for among the first pairs alone, whole parts of them: enough to see what a cluster
holds, however large the corpus is.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.tables import CurationTable, PhraseTable
from stages.audit.curation import Counts
from stages.audit.duplicates import key_of
from stages.audit.figures import log_spaced
from stages.curate.clusters import CLUSTERS, FILE
from stages.curate.pairs import SIGNATURES, fixed
from stages.curate.vectors import Vectors
from stages.stage import RunIO

LARGEST = 16  # clusters that are listed
IMAGES, PHRASES = 5, 6  # typical ones of each
LOOKED_AT = 65_536  # pairs with a cluster, at least, among which these are looked for
OFTEN = 2  # pairs of a cluster that have a typical phrase, at least


@dataclass
class Typical:
    """Of one cluster. `nearest` is a heap of (product with the centre, -key as a number), IMAGES at most."""

    nearest: list[tuple[float, int]] = field(default_factory=list)
    pairs: int = 0  # with phrases
    phrases: Counter[str] = field(default_factory=Counter)  # pairs that have each


def cluster_figures(io: RunIO, counts: Counts) -> dict[str, Any]:
    """`counts`: `pairs` and `kept` of each cluster, by its number as a text."""
    sizes = {int(name): own["pairs"] for name, own in counts.items()}
    ranked = sorted(sizes, key=lambda number: (-sizes[number], number))
    typical, whole = look_at(io, ranked[:LARGEST])
    return {
        "clusters": len(sizes),
        "pairs": sum(sizes.values()),
        "by_rank": [[rank, sizes[ranked[rank - 1]]] for rank in log_spaced(1, len(ranked))],
        "looked_at": whole.pairs,
        "largest": [
            {
                "cluster": number,
                **counts[str(number)],
                "typical": [key_of(-key) for _, key in sorted(typical[number].nearest, reverse=True)],
                "phrases": typical_phrases(typical[number], whole),
            }
            for number in ranked[:LARGEST]
        ],
    }


def look_at(io: RunIO, shown: Sequence[int]) -> tuple[dict[int, Typical], Typical]:
    """What is typical of each of these clusters, and the same counts of all clusters together."""
    found, whole = {number: Typical() for number in shown}, Typical()
    centres = read_vectors_of_centres(io)
    for part, cluster in first_parts(io):
        if centres is not None and io.has_part(SIGNATURES, part):
            add_nearest(io, part, cluster, centres, found)
        if io.has_part(PhraseTable.dataset, part):
            add_phrases(io, part, cluster, found, whole)
    return found, whole


def first_parts(io: RunIO) -> Iterator[tuple[int, dict[str, int]]]:
    """Parts in their order until LOOKED_AT pairs with a cluster have come; of each, the clusters of kept pairs."""
    seen = 0
    for part in io.parts():
        if seen >= LOOKED_AT:
            return
        if not io.has_part(CurationTable.dataset, part):
            continue
        table = CurationTable.read_part(io, part, CurationTable.key, CurationTable.keep, CurationTable.cluster)
        seen += int((table.cluster >= 0).sum())
        rows = zip(table.key.to_pylist(), table.cluster.tolist(), table.keep.tolist(), strict=True)
        yield part, {key: cluster for key, cluster, keep in rows if keep and cluster >= 0}


def read_vectors_of_centres(io: RunIO) -> NDArray[np.float64] | None:
    """(K, D); None where they are not at hand."""
    if FILE not in io.files(CLUSTERS):
        return None
    with io.open(FILE) as file:
        rows = pq.read_table(file, columns=["centre"])["centre"].to_pylist()
    return vectors_of(b"".join(rows), len(rows)).astype(np.float64)


def vectors_of(data: bytes, count: int) -> Vectors:
    return np.frombuffer(data, "<f2").astype(np.float16).reshape(count, -1)


def add_nearest(
    io: RunIO, part: int, cluster: dict[str, int], centres: NDArray[np.float64], found: dict[int, Typical]
) -> None:
    """The pairs of a part that are nearest to their centres."""
    table = io.read_part(SIGNATURES, part, ["key", "embedding"])
    keys = table["key"].to_pylist()
    rows = [row for row, key in enumerate(keys) if cluster.get(key, -1) in found]
    if not rows:
        return
    own = table["embedding"].take(rows)
    vectors = vectors_of(fixed(own, own.type.byte_width).tobytes(), len(rows)).astype(np.float64)
    products = (vectors * centres[[cluster[keys[row]] for row in rows]]).sum(1)
    for row, product in zip(rows, products.tolist(), strict=True):
        nearest = found[cluster[keys[row]]].nearest
        heapq.heappush(nearest, (product, -int(keys[row])))
        if len(nearest) > IMAGES:
            heapq.heappop(nearest)


def add_phrases(io: RunIO, part: int, cluster: dict[str, int], found: dict[int, Typical], whole: Typical) -> None:
    """Counts in how many pairs of a part each phrase is."""
    table = PhraseTable.read_part(io, part, PhraseTable.key, PhraseTable.phrases)
    norms = table.phrases.norm.to_pylist()
    for key, own in zip(table.key.to_pylist(), table.phrases.slices(), strict=True):
        if key in cluster:
            for typical in (whole, found.get(cluster[key])):
                if typical is not None:
                    typical.pairs += 1
                    typical.phrases.update(set(norms[own]))


def typical_phrases(typical: Typical, whole: Typical) -> list[dict[str, Any]]:
    """`share` of the cluster's pairs that have a phrase, and its `lift`: this share over the one among all pairs.

    In the order of share · log(lift), what each adds to the divergence of the cluster's phrases from all phrases."""
    rows: list[dict[str, Any]] = []
    for phrase, pairs in typical.phrases.items():
        share = pairs / typical.pairs
        lift = share / (whole.phrases[phrase] / whole.pairs)
        if pairs >= OFTEN and lift > 1:
            rows.append({"phrase": phrase, "pairs": pairs, "share": share, "lift": lift})
    return sorted(rows, key=lambda row: (-row["share"] * math.log(row["lift"]), row["phrase"]))[:PHRASES]
