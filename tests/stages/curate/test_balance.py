"""Radii of seeds and of clusters against sorting by hand, and what they decide about images that come later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.curate import balance
from stages.curate.balance import Seeds, are_near, by_cluster, crowded, read_seeds, settled, write_seeds
from tests.stages.audit_run import no_beat
from tests.stages.curate.test_vectors import all_cosines, drawn


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(balance, "TILE", 7)


@pytest.mark.parametrize("count", [1, 4, 59])
def test_each_seed_has_so_many_images_of_the_sample(count: int) -> None:
    seeds, sample = drawn(20, seed=1), drawn(60)
    found = settled([str(number) for number in range(20)], seeds, sample, count)
    table = all_cosines(seeds, sample)
    assert found.radii.tolist() == np.sort(table, axis=1)[:, -count].tolist()
    assert are_near(sample, found).tolist() == (table >= found.radii[:, None]).any(0).tolist()
    later = drawn(40, seed=2)
    assert are_near(later, found).tolist() == (all_cosines(seeds, later) >= found.radii[:, None]).any(0).tolist()


def test_a_sample_that_is_smaller_is_near_as_a_whole() -> None:
    found = settled(["a"], drawn(1, seed=1), drawn(4), 4)
    assert found.radii.tolist() == [-1.0] and are_near(drawn(30), found).all()
    assert settled(["a"], drawn(1, seed=1), drawn(0), 4).radii.tolist() == [-1.0]


def test_clusters_in_excess_lose_what_is_far_from_their_centre() -> None:
    draw = np.random.default_rng(0)
    own, closeness = draw.choice(5, 400, p=[0.5, 0.3, 0.15, 0.05, 0]).astype(np.int32), draw.random(400)
    members = by_cluster(own[:200], closeness[:200], 5)
    sizes = np.bincount(own[:200], minlength=5)
    assert [near.tolist() for near in members] == [
        sorted(closeness[:200][own[:200] == number].tolist(), reverse=True) for number in range(5)
    ]
    assert sizes[2] > 20 > sizes[3]
    found = crowded(own, closeness, members, 20)
    kept = np.bincount(own[:200][~found[:200]], minlength=5)
    assert kept.tolist() == np.minimum(sizes, 20).tolist()
    later = found[200:]
    for number, near in enumerate(members):
        radius = near[19] if len(near) > 20 else -1.0
        chosen = own[200:] == number
        assert later[chosen].tolist() == (closeness[200:][chosen] < radius).tolist()
    assert later[own[200:] == 3].sum() == 0 and later[own[200:] == 0].any()


def test_seeds_stay_while_the_settings_do(tmp_path: Path) -> None:
    run = RunFiles(LocalStorage(str(tmp_path)), [], "merge", no_beat)
    assert read_seeds(run, "ab") is None
    write_seeds(run, Seeds(["a", "b"], drawn(2), np.array([0.25, -1.0])), "ab")
    found = read_seeds(run, "ab")
    assert found is not None and list(found.names) == ["a", "b"] and found.radii.tolist() == [0.25, -1.0]
    assert np.array_equal(found.vectors, drawn(2)) and read_seeds(run, "cd") is None
