"""The likeness of near duplicates, held to what curate decides at other thresholds."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.config import CurateConfig
from stages.audit.alike import DRAWN, best_likeness, by_threshold, drawn, likeness_of
from stages.curate.candidates import MAX_DISTANCE
from stages.curate.likeness import likeness
from stages.curate.signature import PLAIN, VIEWS, mirror_mask, signatures
from stages.images import decode_grey
from tests.stages.audit.curated import perceptual_run
from tests.stages.conftest import DiskIO
from tests.stages.curate.photographs import ALTERATIONS, jpeg, mirrored, photograph


def signed(*images: Any) -> tuple[Any, Any]:
    return signatures(np.stack([decode_grey(jpeg(image), 10**7, 64) for image in images]))


def by_hand(one: tuple[Any, Any], other: tuple[Any, Any], flips: bool) -> float:
    """Of one pair of signatures, a pair of views at a time."""
    views = [(number, number >= len(VIEWS)) for number in range(len(VIEWS) + (len(PLAIN) if flips else 0))]

    def bits(signature: Any, number: int) -> Any:
        return signature[0][number] if number < len(VIEWS) else signature[0][number - len(VIEWS)] ^ mirror_mask()

    found = [-2.0]
    for (a, a_mirrored), (b, b_mirrored) in product(views, views):
        compared = a_mirrored != b_mirrored or (not a_mirrored and (a < len(PLAIN) or b < len(PLAIN)))
        differing = sum(int(byte).bit_count() for byte in bits(one, a) ^ bits(other, b))
        if compared and differing <= MAX_DISTANCE:
            found.append(
                float(likeness(one[1][None], np.array([a]), other[1][None], np.array([b]))[0]),
            )
    return max(found)


@pytest.mark.parametrize("flips", [False, True])
def test_it_is_the_best_of_all_views_that_are_near(flips: bool) -> None:
    originals = [photograph(seed) for seed in range(4)]
    copies = [ALTERATIONS["half the size"](originals[0]), mirrored(originals[1]), photograph(9), originals[3]]
    copies[3] = ALTERATIONS["darker"](copies[3])
    one, other = signed(*originals), signed(*copies)
    found = best_likeness(*one, *other, flips)
    expected = [by_hand((one[0][i], one[1][i]), (other[0][i], other[1][i]), flips) for i in range(len(originals))]
    assert [-2.0 if np.isnan(value) else pytest.approx(value) for value in found] == expected
    assert found[0] > 0.9 and found[3] > 0.9 and np.isnan(found[2])
    assert (found[1] > 0.9) if flips else np.isnan(found[1])


def rows(run: Path, dataset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((run / dataset).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def near_duplicates(run: Path) -> dict[str, str]:
    return {row["key"]: row["duplicate_of"] for row in rows(run, "curation") if row["reason"] == "near_duplicate"}


def test_runs_at_higher_thresholds_decide_as_it_says(perceptual: Path, tmp_path: Path) -> None:
    """What is as like the kept image stays set aside for it. What is not comes back, or stays for another image: of one
    image there are nine copies here."""
    near = near_duplicates(perceptual)
    keys = [np.array([int(key) for key in column]) for column in (near, near.values())]
    found = likeness_of(DiskIO(perceptual), CurateConfig(duplicates="perceptual"), *keys)
    known = dict(zip(near, found, strict=True))
    assert len(known) > 10 and min(known.values()) >= 0.8
    separated = 0
    for threshold in (0.9, 0.97, 0.99):
        after = near_duplicates(perceptual_run(tmp_path / str(threshold), min_likeness=threshold))
        expected = {key: of for key, of in near.items() if known[key] >= threshold}
        assert {key: of for key, of in after.items() if of == near.get(key)} == expected
        assert set(after) <= set(near)
        separated += len(near) - len(after)
    assert separated > 0


def test_thresholds_count_what_is_as_like_and_scale_a_sample() -> None:
    found = np.array([0.8, 0.85, np.nan, 0.99, 0.5], np.float32)
    counted = by_threshold(found, 0.8, 5)
    assert counted[0] == {"threshold": 0.8, "pairs": 3} and counted[-1] == {"threshold": 1.0, "pairs": 0}
    assert [row["pairs"] for row in counted if row["threshold"] in (0.84, 0.86, 0.99)] == [2, 1, 1]
    assert by_threshold(found, 0.8, 50)[0]["pairs"] == 30
    assert [row["threshold"] for row in by_threshold(found, 0.985, 5)] == [0.985, 0.99, 1.0]
    assert by_threshold(found[:0], 0.8, 0)[0]["pairs"] == 0


def test_a_sample_is_drawn_evenly_and_always_the_same() -> None:
    few = np.arange(0, 100, 7)
    assert drawn(few) is few
    many = np.arange(10 * DRAWN)
    sample = drawn(many)
    assert len(sample) == DRAWN and (np.diff(sample) > 0).all() and (drawn(many) == sample).all()
    counts = np.histogram(sample, bins=10, range=(0, len(many)))[0]
    assert abs(counts - DRAWN / 10).max() < 5 * (DRAWN / 10) ** 0.5
