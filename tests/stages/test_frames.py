"""Boxes of a declared size in the image that is there, beside pixels that Pillow turned."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.frames import relation, to_upright


@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_box_of_the_stored_image_lies_where_its_pixels_go(orientation: int) -> None:
    stored = np.zeros((30, 50), np.uint8)
    stored[4:10, 7:20] = 255
    exif = Image.Exif()
    exif[274] = orientation
    image = Image.fromarray(stored)
    image.info["exif"] = exif.tobytes()
    upright = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(upright)
    moved = to_upright(np.array([[7, 4, 20, 10]], np.float32), (50, 30), (30, 50), orientation)
    assert moved.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]


@pytest.mark.parametrize(
    ("declared", "upright", "orientation", "found"),
    [
        (None, (30, 50), 6, "same"),
        ((30, 50), (30, 50), 6, "same"),
        ((50, 30), (30, 50), 6, "turned"),
        ((50, 30), (30, 50), 3, "scaled"),
        ((40, 40), (40, 40), 6, "same"),
        ((60, 100), (30, 50), 1, "scaled"),
    ],
)
def test_what_an_image_is_to_a_declared_size(
    declared: tuple[int, int] | None, upright: tuple[int, int], orientation: int, found: str
) -> None:
    assert relation(declared, upright, orientation) == found


def test_boxes_are_scaled_along_each_side_and_cut() -> None:
    boxes = np.array([[10, 10, 20, 20], [90, -5, 120, 50]], np.float32)
    assert to_upright(boxes, (100, 50), (50, 100), 1).tolist() == [[5, 20, 10, 40], [45, 0, 50, 100]]
    assert to_upright(boxes, None, (50, 100), 1).tolist() == [[10, 10, 20, 20], [50, 0, 50, 50]]
