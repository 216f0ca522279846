"""What is typical of a cluster; a whole run is counted again in test_duplicates.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.audit import clusters
from stages.audit.clusters import Typical, cluster_figures, first_parts, look_at, typical_phrases
from tests.stages.conftest import DiskIO


class Reader(DiskIO):
    def has_part(self, dataset: str, part: int) -> bool:
        return (self.root / dataset / f"part-{part:07d}.parquet").exists()

    def files(self, folder: str) -> list[str]:
        return [f"{folder}/{path.name}" for path in sorted((self.root / folder).glob("*"))]


def test_phrases_are_those_that_are_frequent_here_and_rare_elsewhere() -> None:
    own = Typical(pairs=10, phrases=Counter({"everywhere": 10, "here": 5, "once": 1, "rather": 8}))
    whole = Typical(pairs=100, phrases=Counter({"everywhere": 100, "here": 5, "once": 1, "rather": 40}))
    found = typical_phrases(own, whole)
    assert [(row["phrase"], row["pairs"]) for row in found] == [("here", 5), ("rather", 8)]
    assert found[0]["share"] == 0.5 and found[0]["lift"] == pytest.approx(10)
    assert typical_phrases(Typical(), Typical()) == []


def test_only_the_first_parts_are_looked_at(by_vectors: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io = Reader(by_vectors)
    assert [part for part, _ in first_parts(io)] == [0, 1, 2]
    monkeypatch.setattr(clusters, "LOOKED_AT", 21)
    assert [part for part, _ in first_parts(io)] == [0, 1]
    found, whole = look_at(io, [0])
    assert 0 < found[0].pairs < whole.pairs <= 40
    assert len(found[0].nearest) == clusters.IMAGES
    assert {key // 100_000 for _, key in ((product, -key) for product, key in found[0].nearest)} <= {0, 1}


def test_a_run_without_vectors_or_phrases_has_sizes(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(60, until="pairs")
    rows = [
        {"key": row["key"], "keep": True, "reason": None, "duplicate_of": None, "cluster": n % 3, "similarity": None}
        for n, row in enumerate(run.rows["pairs"])
    ]
    for part in run.all_parts().parts():
        run.write("curation", part, [row for row in rows if int(row["key"][:7]) == part])
    counts = {str(number): {"pairs": 10 - number, "kept": 5} for number in range(3)}
    found = cluster_figures(run.all_parts(), counts)
    assert found["by_rank"] == [[1, 10], [2, 9], [3, 8]] and found["looked_at"] == 0
    assert [(row["cluster"], row["typical"], row["phrases"]) for row in found["largest"]] == [
        (0, [], []),
        (1, [], []),
        (2, [], []),
    ]
