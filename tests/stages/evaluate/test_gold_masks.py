"""True masks of annotation files, against pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from stages.evaluate.gold_masks import coded, iou_figures, overlap
from stages.rle import encode, to_json

SIZE = (100, 80)  # width, height
SQUARE = [10.0, 10.0, 50.0, 10.0, 50.0, 50.0, 10.0, 50.0]
OVERLAPPING = [30.0, 10.0, 70.0, 10.0, 70.0, 50.0, 30.0, 50.0]


def pixels(segmentation: Any) -> Any:
    found = coded({"segmentation": segmentation}, SIZE)
    assert found["size"] == [80, 100]
    return coco_masks.decode(found).astype(bool)


def test_polygons_are_joined() -> None:
    square = np.zeros((80, 100), bool)
    square[10:50, 10:50] = True
    np.testing.assert_array_equal(pixels([SQUARE]), square)
    assert pixels([SQUARE, OVERLAPPING]).sum() == 60 * 40


def test_run_lengths_may_be_compressed_or_numbers() -> None:
    mask = np.random.default_rng(0).random((80, 100)) < 0.3
    np.testing.assert_array_equal(pixels(to_json(encode(mask), 80, 100)), mask)
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=1 - flat[0])).tolist()
    counts = np.diff([*edges, len(flat)]).tolist()
    counts = counts if not flat[0] else [0, *counts]
    np.testing.assert_array_equal(pixels({"size": [80, 100], "counts": counts}), mask)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "neither polygons nor run lengths"),
        ([[1, 2, 3, 4]], "neither polygons nor run lengths"),
        ([[1, 2, 3, 4, 5, float("nan")]], "neither polygons nor run lengths"),
        ([[1, 2, 3, 4, 5, "6"]], "neither polygons nor run lengths"),
        ("polygon", "neither polygons nor run lengths"),
        ({"size": [80, 100], "counts": "5"}, "cover 5 pixels"),
        ({"size": [80, 99], "counts": [80 * 99]}, r"segmentation has 80 x 99 pixels \(h, w\), its image 80 x 100"),
    ],
)
def test_what_is_no_mask_is_named(segmentation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        coded({"segmentation": segmentation}, SIZE)
    with pytest.raises(KeyError):
        coded({}, SIZE)


def test_overlap_counts_pixels() -> None:
    first, second = (coded({"segmentation": [polygon]}, SIZE) for polygon in (SQUARE, OVERLAPPING))
    assert overlap(first, second) == (20 * 40, 60 * 40)
    empty = to_json(encode(np.zeros((80, 100), np.bool_)), 80, 100)
    assert overlap(first, empty) == (0, 1600) and overlap(empty, empty) == (0, 0)


def test_figures_of_overlaps_by_hand() -> None:
    """IoUs 1, 0.5, 0 of nothing in nothing, and 0.85."""
    found = iou_figures([10, 5, 0, 17], [10, 10, 0, 20])
    assert found["oIoU"] == pytest.approx(100 * 32 / 40) and found["mIoU"] == pytest.approx(100 * 2.35 / 4)
    assert [found[f"P@{level}"] for level in (0.5, 0.6, 0.7, 0.8, 0.9)] == [75, 50, 50, 50, 25]
    assert iou_figures([0], [0])["oIoU"] == 0
