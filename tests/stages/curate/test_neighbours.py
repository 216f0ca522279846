"""Pairs of like vectors against all pairs; and what is found for a row does not depend on the rows after it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.curate import neighbours
from stages.curate.clusters import kmeans
from stages.curate.neighbours import KEPT, Rows, find_neighbours, find_places, gathered, groups, listed_by
from stages.curate.vectors import Vectors
from tests.stages.audit_run import no_beat
from tests.stages.curate.test_vectors import drawn, unit

LEAST = 0.9
Found = list[tuple[int, int]]


def with_copies(count: int = 1200, copies: int = 400, seed: int = 0) -> Vectors:
    draw = np.random.default_rng(seed)
    base = draw.normal(size=(count, 32))
    near = base[draw.integers(0, count, copies)] + draw.normal(0, 0.15, (copies, 32))
    return unit(draw.permutation(np.concatenate([base, near])))


def all_pairs(rows: Vectors, known: int = 0) -> Found:
    wide = rows.astype(np.float64)
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    later, earlier = np.nonzero(np.tril(wide @ wide.T, -1) >= LEAST)
    return [(i, j) for i, j in zip(later.tolist(), earlier.tolist(), strict=True) if i >= known]


@pytest.fixture
def run() -> Iterator[RunFiles]:
    with tempfile.TemporaryDirectory() as folder:
        yield RunFiles(LocalStorage(folder), [], "merge", no_beat)


def stored(run: RunFiles, vectors: Vectors) -> Rows:
    with run.scratch.create("embedding") as file:
        file.write(vectors.tobytes())
    return Rows("embedding", run.scratch.sha256("embedding"), *vectors.shape)


def search(rows: Vectors, centres: Vectors, known: int = 0, first: int = 200, memory: int = 1 << 30) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        run = RunFiles(LocalStorage(folder), [], "merge", no_beat)
        stored_rows = stored(run, rows)
        places = find_places(run, stored_rows, centres, 2)
        later, earlier = find_neighbours(run, stored_rows, places, known, first, LEAST, memory, 2)
        return list(zip(later.tolist(), earlier.tolist(), strict=True))


def test_a_small_corpus_is_compared_all_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "TILE", 100)
    rows = with_copies()
    assert search(rows, rows[:1], first=len(rows)) == all_pairs(rows) and len(all_pairs(rows)) > 300
    assert search(rows, rows[:1], known=50, first=len(rows)) == all_pairs(rows, 50)
    assert search(rows[:0], rows[:1]) == []


@pytest.mark.parametrize("memory", [1, 10_000, 1 << 30])
def test_nearly_all_are_found_by_clusters(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "TILE", 7)
    monkeypatch.setattr(neighbours, "BLOCK", 500)
    rows = with_copies()
    found = search(rows, kmeans(rows[:400], 20).vectors, memory=memory)
    expected = set(all_pairs(rows))
    assert set(found) <= expected and len(found) == len(set(found)) and found == sorted(found)
    assert len(found) >= 0.99 * len(expected)


@pytest.mark.parametrize("stop", [10, 150, 200, 700, 1300])
def test_what_comes_later_changes_nothing_for_a_row(stop: int) -> None:
    rows = with_copies()
    centres = kmeans(rows[:200], 12).vectors
    whole = search(rows, centres, known=20)
    assert search(rows[:stop], centres, known=20) == [pair for pair in whole if pair[0] < stop]


def test_of_a_crowd_the_first_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "COMPACT", 1000)
    rows = np.repeat(drawn(1), 300, axis=0)
    found = search(rows, drawn(5, seed=1), first=10)
    assert found == [(later, earlier) for later in range(300) for earlier in range(min(later, KEPT))]


def test_a_centre_lists_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "LISTED", 3)
    monkeypatch.setattr(neighbours, "GROUPS", 1)
    own = np.array([1, 0, 1, 1, 3, 1, 1], np.int32)
    assert list(groups(own, 1, 100)) == [range(4)]
    assert [rows.tolist() for rows in listed_by(own, 0, 4)] == [[1], [0, 2, 3], [], [4]]
    assert [rows.tolist() for rows in listed_by(own, 1, 3)] == [[0, 2, 3], []]
    assert list(groups(own, 2, 7)) == [range(0, 1), range(1, 3), range(3, 4)]


def test_there_are_blocks_for_many_workers() -> None:
    own = np.random.default_rng(0).integers(0, 200, 5000).astype(np.int32)
    found = list(groups(own, 1, 1 << 30))
    assert len(found) >= neighbours.GROUPS and found[0].start == 0 and found[-1].stop == 200
    assert all(one.stop == other.start for one, other in pairwise(found))


def test_rows_are_gathered_in_the_order_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", 4)
    rows = drawn(11)
    wanted = np.array([10, 0, 7, 4, 3])
    assert np.array_equal(gathered(rows, wanted), rows[wanted])


def test_places_are_the_nearest_centres(run: RunFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "PLACED", 7)
    rows, centres = drawn(50), drawn(2, seed=1)
    places = find_places(run, stored(run, rows), centres, 2)
    products = rows.astype(np.float64) @ centres.astype(np.float64).T
    assert np.array_equal(places.own, products.argmax(1)) and np.array_equal(places.closeness, products.max(1))
    assert places.probes.shape == (50, 2)
    assert find_places(run, stored(run, rows[:0]), centres).probes.shape == (0, 2)
