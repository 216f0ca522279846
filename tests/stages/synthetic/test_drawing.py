"""Objects are painted where they were placed, in their order, and the image is a JPEG."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from PIL import Image

from stages.synthetic.drawing import LONG_SIDES, SHORT_SIDE, choose_size, draw_image
from stages.synthetic.layout import choose_groups, place
from stages.synthetic.randomness import Stream


def test_sizes_have_a_short_side_and_three_in_five_are_landscape() -> None:
    sizes = Counter(choose_size(Stream(index)) for index in range(2000))
    assert {min(size) for size in sizes} == {SHORT_SIDE} and {max(size) for size in sizes} == set(LONG_SIDES)
    landscape = sum(count for (width, height), count in sizes.items() if width > height)
    portrait = sum(count for (width, height), count in sizes.items() if width < height)
    assert 0.55 < landscape / (landscape + portrait) < 0.65


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=int)


def test_an_image_differs_from_its_background_where_objects_are() -> None:
    """The last object painted is whole; what lies under it differs from the same image without it."""
    stream = Stream.of_scene("web", 2, 5)
    placed = place(choose_groups("web", 2, 5, stream), 320, 224, stream)
    whole, without_last = (decoded(draw_image(things, 320, 224, Stream(9))) for things in (placed, placed[:-1]))
    assert whole.shape == (224, 320, 3)
    last = placed[-1]
    height, width = last.sprite.solid.shape
    changed = np.abs(whole - without_last).max(axis=2) > 40
    y, x = np.nonzero(changed)
    assert len(y) > 0.2 * last.sprite.solid.sum()
    margin = 8  # JPEG blocks
    assert last.x - margin <= x.min() and x.max() < last.x + width + margin
    assert last.y - margin <= y.min() and y.max() < last.y + height + margin
