"""What curate has decided about a part's pairs, counted: reasons, sources, clusters, and how well captions fit; and
which pairs have another image in their place. Counts are integers, so that parts add up exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.items import ImageRefs
from schemas.tables import CurationTable, PairTable
from stages import grid
from stages.flat import Floats, Ints

MOST_SOURCES = 40  # that are told apart
SEPARATOR = "/"

Counts = dict[str, Any]


def count_decisions(table: CurationTable, pairs: PairTable) -> Counts:
    """`table` has a row for each of `pairs`, in the same order."""
    reasons = table.reason.to_pylist()
    found: Counts = {
        "pairs": len(table),
        "kept": int(table.keep.sum()),
        "set_aside": _by_reason(reasons),
        "sources": rolled_up(count_sources(places(pairs.image), reasons)),
    }
    if (clusters := count_clusters(table)) != {}:
        found["clusters"] = clusters
    if len(similarity := table.similarity[~np.isnan(table.similarity)]):
        found["similarity"] = np.bincount(reached(similarity), minlength=len(grid.COSINES) + 1).tolist()
    return found


def replaced(table: CurationTable) -> pa.Table:
    """The pairs that have another image in their place: `row` of the key, `reason`, `duplicate_of`."""
    rows = {"row": table.numbers.astype(np.int32), "reason": table.reason, "duplicate_of": table.duplicate_of}
    return pa.table(rows).filter(pc.is_valid(table.duplicate_of))


def reached(similarity: Floats) -> Ints:
    """How many cosines of the grid each similarity is not below, as curate compares them: as 32-bit floats."""
    return np.searchsorted(grid.COSINES.astype(np.float32), similarity, side="right").astype(np.int64)


def count_clusters(table: CurationTable) -> Counts:
    """Of each cluster, by its number, `pairs` and those of them that are `kept`."""
    cluster = table.cluster
    numbers, counts = np.unique(cluster[cluster >= 0], return_counts=True)
    kept = np.bincount(cluster[(cluster >= 0) & table.keep], minlength=int(numbers.max(initial=-1)) + 1)
    named = zip(numbers.tolist(), counts.tolist(), kept[numbers].tolist(), strict=True)
    return {str(number): {"pairs": pairs, "kept": left} for number, pairs, left in named}


def places(image: ImageRefs) -> list[str]:
    """Where each image lies: the file that holds it among others, or the folder of its own file; "": there is none."""
    return [
        "" if ref is None else ref.uri if ref.offset >= 0 else ref.uri.rpartition(SEPARATOR)[0] or "."
        for ref in image.refs()
    ]


def count_sources(names: Iterable[str], reasons: Iterable[str | None]) -> Counts:
    """By name: its `pairs`, and `set_aside` by reason."""
    found: dict[str, list[str | None]] = {}
    for name, reason in zip(names, reasons, strict=True):
        found.setdefault(name, []).append(reason)
    return {name: {"pairs": len(own), "set_aside": _by_reason(own)} for name, own in found.items()}


def rolled_up(counts: Mapping[str, Counts], most: int = MOST_SOURCES) -> Counts:
    """The same by folder, as deep as gives at most so many of them; parts that are rolled up on their own add up to
    what the whole would give."""
    depth = max((name.count(SEPARATOR) + 1 for name in counts), default=1)
    while depth > 1 and len({_above(name, depth) for name in counts}) > most:
        depth -= 1
    found: Counts = {}
    for name, own in counts.items():
        total = found.setdefault(_above(name, depth), {"pairs": 0, "set_aside": {}})
        total["pairs"] += own["pairs"]
        total["set_aside"] = dict(Counter(total["set_aside"]) + Counter(own["set_aside"]))
    return found


def _above(name: str, depth: int) -> str:
    return SEPARATOR.join(name.split(SEPARATOR)[:depth])


def _by_reason(reasons: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(reason for reason in reasons if reason is not None))
