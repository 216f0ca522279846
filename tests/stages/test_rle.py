"""Run lengths against pycocotools, and what is read off them against arrays of pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from stages import rle

SHAPES = ((1, 1), (1, 9), (9, 1), (7, 5), (31, 40), (33, 33), (64, 200))


def masks(seed: int) -> Iterator[NDArray[np.bool_]]:
    """Noise of several densities, blocks, and all or nothing, of many shapes."""
    random = np.random.default_rng(seed)
    for height, width in SHAPES:
        for density in (0.0, 0.02, 0.5, 0.98, 1.0):
            yield random.random((height, width)) < density
        block = np.zeros((height, width), np.bool_)
        block[height // 3 :, width // 4 : width // 2 + 1] = True
        yield block


def coco_counts(mask: NDArray[np.bool_]) -> bytes:
    counts: bytes = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    return counts


@pytest.mark.parametrize("seed", range(5))
def test_counts_are_those_of_pycocotools_and_come_back_as_the_mask(seed: int) -> None:
    drawn = list(masks(seed))
    assert len(drawn) == 6 * len(SHAPES)
    for mask in drawn:
        counts = rle.encode(mask)
        assert counts == coco_counts(mask)
        np.testing.assert_array_equal(rle.decode(counts, *mask.shape), mask)


def test_long_runs_need_several_characters() -> None:
    mask = np.zeros((3000, 2000), np.bool_)
    mask[100:2900, 5:1990] = True
    assert rle.encode(mask) == coco_counts(mask)
    np.testing.assert_array_equal(rle.decode(rle.encode(mask), 3000, 2000), mask)


def test_a_case_by_hand() -> None:
    mask = np.array([[0, 1], [1, 1], [0, 0]], np.bool_)  # down the columns: 0 1 0 1 1 0
    assert rle.runs_of(mask).tolist() == [1, 1, 1, 2, 1]
    assert rle.encode(mask) == b"11110"  # the fourth count is 2 - 1, the fifth 1 - 1
    assert rle.to_json(b"11110", 3, 2) == {"size": [3, 2], "counts": "11110"}


@pytest.mark.parametrize("seed", range(3))
def test_area_and_tight_box_are_those_of_the_pixels(seed: int) -> None:
    drawn = list(masks(seed))
    assert len(drawn) > 1
    for mask in drawn:
        runs = rle.runs_of(mask)
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else (0, 0, 0, 0)
        assert rle.area(runs) == mask.sum()
        assert rle.tight_box(runs, mask.shape[0]) == box


@pytest.mark.parametrize("seed", range(3))
def test_area_within_a_box_is_that_of_the_pixels(seed: int) -> None:
    random, drawn = np.random.default_rng(seed), list(masks(seed))
    assert len(drawn) > 1
    for mask in drawn:
        height, width = mask.shape
        x1, x2 = sorted(random.integers(0, width + 1, 2).tolist())
        y1, y2 = sorted(random.integers(0, height + 1, 2).tolist())
        assert rle.area_within(rle.runs_of(mask), height, (x1, y1, x2, y2)) == mask[y1:y2, x1:x2].sum()


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        (b"", "cover 0 pixels"),
        (b"5", "cover 5 pixels"),
        (b"~", "no compressed"),
        (b" 6", "no compressed"),
        (b"P", "no compressed"),  # another group was to follow
        (b"P" * 40 + b"0", "no compressed"),  # a number that no 64 bits hold
        (b"\xff\xff", "no compressed"),
        (b"O7", "negative"),  # -1 and 7
    ],
)
def test_bytes_that_are_no_mask_are_named(counts: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        rle.decode(counts, 2, 3)


def test_coco_objects_may_list_their_counts_as_numbers() -> None:
    plain = {"size": [3, 2], "counts": [1, 1, 1, 2, 1]}
    assert rle.of_json(plain) == (b"11110", 3, 2)
    assert rle.of_json({"size": [3, 2], "counts": "11110"}) == (b"11110", 3, 2)
    assert rle.of_json({"size": [3, 2], "counts": b"11110"}) == (b"11110", 3, 2)
    with pytest.raises(ValueError, match="cover 6 pixels, not 4 x 2"):
        rle.of_json({"size": [4, 2], "counts": "11110"})
