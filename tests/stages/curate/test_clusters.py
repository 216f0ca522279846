"""Spherical k-means against its definition, and centres on their way through a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.curate.clusters import FILE, MEMBERS, Centres, assign, kmeans, means, read_centres, write_centres
from stages.curate.vectors import Vectors
from tests.stages.audit_run import no_beat
from tests.stages.curate.test_vectors import drawn, unit


def blobs(kinds: int, each: int, spread: float = 0.05) -> tuple[Vectors, np.ndarray]:
    """Vectors around `kinds` directions, in an order of their own, and the kind of each."""
    draw = np.random.default_rng(1)
    middles = draw.normal(size=(kinds, 24))
    kind = draw.permutation(np.repeat(np.arange(kinds), each))
    return unit(middles[kind] + spread * draw.normal(size=(len(kind), 24))), kind


def test_kinds_that_lie_apart_are_found() -> None:
    rows, kind = blobs(6, 50)
    centres = kmeans(rows, 6)
    own, closeness = assign(rows, centres.vectors)
    assert len({(mine, theirs) for mine, theirs in zip(own.tolist(), kind.tolist(), strict=True)}) == 6
    assert centres.sizes.tolist() == [50] * 6 and centres.images == 300 and closeness.min() > 0.9


def test_it_has_converged_to_the_mean_directions() -> None:
    rows, _ = blobs(5, 60, 0.6)
    centres = kmeans(rows, 8)
    own, _ = assign(rows, centres.vectors)
    wide = rows.astype(np.float64)
    for number in range(8):
        middle = wide[own == number].sum(0)
        expected = (middle / np.linalg.norm(middle)).astype(np.float16)
        assert np.abs(centres.vectors[number].astype(np.float64) - expected.astype(np.float64)).max() < 1e-3
    again = kmeans(rows, 8)
    assert np.array_equal(again.vectors, centres.vectors) and centres.sizes.sum() == 300


def test_a_mean_does_not_depend_on_the_order_of_its_rows() -> None:
    rows, centres = drawn(40_000, 8), drawn(3, 8, seed=1)
    own, _ = assign(rows, centres)
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(means(rows, own, centres), means(rows[order], own[order], centres))
    nobody = np.full(len(rows), 1, np.int32)
    assert np.array_equal(means(rows, nobody, centres)[[0, 2]], centres[[0, 2]])


@pytest.mark.parametrize(("rows", "asked", "centres"), [(0, 5, 0), (1, 5, 1), (MEMBERS * 3, 5, 3), (500, 5, 5)])
def test_few_images_have_few_centres(rows: int, asked: int, centres: int) -> None:
    found = kmeans(drawn(rows), asked)
    assert len(found.vectors) == len(found.sizes) == centres and found.images == rows


def test_copies_of_one_image_fill_one_cluster() -> None:
    rows = np.repeat(drawn(1), 100, axis=0)
    assert kmeans(rows, 4).sizes.tolist() == [100, 0, 0, 0]


def test_centres_stay_while_the_settings_do(tmp_path: Path) -> None:
    run = RunFiles(LocalStorage(str(tmp_path)), [], "merge", no_beat)
    assert read_centres(run, "ab") is None
    members = [np.sort(np.random.default_rng(0).random(size))[::-1] for size in range(5)]
    centres = Centres(drawn(5), np.arange(5), members)
    write_centres(run, centres, "ab")
    found = read_centres(run, "ab")
    assert found is not None and np.array_equal(found.vectors, centres.vectors) and found.images == 10
    assert found.vectors.dtype == np.float16 and found.sizes.tolist() == [0, 1, 2, 3, 4]
    assert found.members is not None and [near.tolist() for near in found.members] == [
        near.tolist() for near in members
    ]
    assert read_centres(run, "cd") is None
    once = (tmp_path / FILE).read_bytes()
    write_centres(run, centres, "ab")
    assert (tmp_path / FILE).read_bytes() == once
