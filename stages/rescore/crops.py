"""The region of an image that is shown to the image-text model for a box."""

from __future__ import annotations

import math
from typing import Literal

from schemas.rows import Corners

Region = tuple[int, int, int, int]  # x1, y1, x2, y2: whole pixels of the image, half-open, never empty


def region_of(box: Corners, size: tuple[int, int], crop: Literal["tight", "square"], pad: float) -> Region:
    """The pixels that a box touches, with a margin of `pad` times its width left and right, and of its height above and
    below. `size`: (H, W) of the image, at whose borders the region ends.

    A `square` one has the longer side in both directions: around the box where there is room, else moved to lie within
    the image, and shorter only where the image is. It shows more around a narrow box, and is hardly distorted when the
    network's input is square.
    """
    (x1, x2), (y1, y2) = ((low - pad * (high - low), high + pad * (high - low)) for low, high in _sides(box))
    if crop == "square":
        side = max(x2 - x1, y2 - y1)
        x1, x2 = _around(x1, x2, side, size[1])
        y1, y2 = _around(y1, y2, side, size[0])
    left, right = _pixels(x1, x2, size[1])
    top, bottom = _pixels(y1, y2, size[0])
    return left, top, right, bottom


def _sides(box: Corners) -> tuple[tuple[float, float], tuple[float, float]]:
    x1, y1, x2, y2 = box
    return (x1, x2), (y1, y2)


def _around(low: float, high: float, length: float, limit: int) -> tuple[float, float]:
    """The same centre and another length, moved to lie within [0, limit] as far as it fits there."""
    start = (low + high - length) / 2
    start = max(min(start, limit - length), 0.0)
    return start, start + length


def _pixels(low: float, high: float, limit: int) -> tuple[int, int]:
    """Whole pixels within [0, limit], one at least."""
    first = min(max(math.floor(low), 0), limit - 1)
    return first, max(min(math.ceil(high), limit), first + 1)
