"""Which pixels are cut out for a box, on numbers worked out by hand."""

from __future__ import annotations

from typing import Literal

import pytest

from stages.rescore.crops import region_of

SIZE = (100, 200)  # (H, W)


@pytest.mark.parametrize(
    ("box", "crop", "pad", "region"),
    [
        ((10.0, 20.0, 30.0, 60.0), "tight", 0.0, (10, 20, 30, 60)),
        ((10.2, 20.9, 29.1, 59.5), "tight", 0.0, (10, 20, 30, 60)),  # every pixel that it touches
        ((10.0, 20.0, 30.0, 60.0), "tight", 0.25, (5, 10, 35, 70)),  # a quarter of 20 and of 40
        ((10.0, 20.0, 30.0, 60.0), "tight", 1.0, (0, 0, 50, 100)),  # cut at the border: -10, -20
        ((10.0, 20.0, 30.0, 60.0), "square", 0.0, (0, 20, 40, 60)),  # 40 x 40, its centre stays at 20, 40
        ((0.0, 20.0, 30.0, 60.0), "square", 0.0, (0, 20, 40, 60)),  # moved to lie within the image
        ((180.0, 20.0, 200.0, 60.0), "square", 0.0, (160, 20, 200, 60)),
        ((0.0, 40.0, 200.0, 60.0), "square", 0.0, (0, 0, 200, 100)),  # the image is no higher
        ((10.0, 20.0, 30.0, 60.0), "square", 0.5, (0, 0, 80, 80)),  # 40 x 80 -> 80 x 80 around 20, 40, moved
        ((50.4, 50.4, 50.5, 50.5), "tight", 0.0, (50, 50, 51, 51)),
        ((200.0, 100.0, 200.0, 100.0), "tight", 0.0, (199, 99, 200, 100)),  # an empty box still has a pixel
        ((-5.0, -5.0, 500.0, 500.0), "tight", 0.0, (0, 0, 200, 100)),
    ],
)
def test_regions(
    box: tuple[float, float, float, float],
    crop: Literal["tight", "square"],
    pad: float,
    region: tuple[int, int, int, int],
) -> None:
    assert region_of(box, SIZE, crop, pad) == region
