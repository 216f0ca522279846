"""Masks as small as the page shows them."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_masks

from schemas.rows import Mask
from stages.audit.page.overlay import small_counts, small_size
from stages.rle import encode


def test_the_longest_side_is_limited() -> None:
    assert [small_size(100, 80), small_size(320, 160), small_size(1, 4000)] == [(100, 80), (160, 80), (1, 160)]


def test_a_pixel_is_inside_where_half_of_what_it_stands_for_is() -> None:
    whole = np.zeros((320, 320), np.bool_)
    whole[100:200, 37:255] = True  # half of the column of pixels 36 and 37
    whole[0, 0] = True  # a quarter of a pixel
    counts = small_counts(Mask(encode(whole), 320, 320, 0.5))
    small = coco_masks.decode({"size": [160, 160], "counts": counts}).astype(bool)
    expected = whole.reshape(160, 2, 160, 2).mean(axis=(1, 3)) >= 0.5
    np.testing.assert_array_equal(small, expected)
