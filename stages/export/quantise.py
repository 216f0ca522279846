"""Corners of boxes as the numbers that vision-language models read and write.

Sizes are (width, height) in pixels of the upright image; corners are x1, y1, x2, y2 in the same pixels, half-open. What
lies outside of the image is moved to its edge.
"""

from __future__ import annotations

import math

from schemas.rows import Corners

Size = tuple[int, int]
Numbers = tuple[int, int, int, int]

LONGEST = 200  # times the short side: Qwen's processors refuse images beyond


def scaled(corners: Corners, size: Size, frame: Size) -> Corners:
    """Corners after the image is scaled to `frame`, (width, height)."""
    x1, y1, x2, y2 = (
        min(max(place, 0.0), side) * target / side
        for place, side, target in zip(corners, size * 2, frame * 2, strict=True)
    )
    return x1, y1, x2, y2


def rounded(corners: Corners, size: Size, frame: Size) -> Numbers:
    """The whole numbers nearest to the scaled corners."""
    x1, y1, x2, y2 = map(round, scaled(corners, size, frame))
    return x1, y1, x2, y2


def floored(corners: Corners, size: Size, bins: int, last: int) -> Numbers:
    """The bin, of `bins` on each side, that a corner lies in; the number `last` is the highest."""
    x1, y1, x2, y2 = (min(math.floor(place), last) for place in scaled(corners, size, (bins, bins)))
    return x1, y1, x2, y2


def patches(corners: Corners, size: Size, side: int) -> tuple[int, int]:
    """The first and the last patch that a box touches, of side x side patches counted row by row (Kosmos-2)."""
    left, top, _, _ = floored(corners, size, side, side - 1)
    _, _, x2, y2 = scaled(corners, size, (side, side))
    right, bottom = max(math.ceil(x2) - 1, left), max(math.ceil(y2) - 1, top)
    return top * side + left, bottom * side + right


def smart_size(size: Size, factor: int, min_pixels: int, max_pixels: int) -> Size:
    """(width, height) to which Qwen's processors resize an image before the network: multiples of `factor` close to the
    image's own sides, with min_pixels to max_pixels pixels in all.

    As in transformers, `Qwen2VLImageProcessor`. Images more than `LONGEST` times as long as wide are refused there.
    """
    width, height = (round(side / factor) * factor for side in size)
    if width * height > max_pixels:
        shrink = math.sqrt(size[0] * size[1] / max_pixels)
        width, height = (max(factor, math.floor(side / shrink / factor) * factor) for side in size)
    elif width * height < min_pixels:
        grow = math.sqrt(min_pixels / (size[0] * size[1]))
        width, height = (math.ceil(side * grow / factor) * factor for side in size)
    return width, height
