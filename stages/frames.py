"""The size that an annotation file declares for an image, beside that of the image: the one place that compares them.

Boxes are given in the frame of the declared size. Ingest and training move them into the upright pixels of the image;
a benchmark is measured on images of the declared size alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.geometry import Floats, clip

Frame = tuple[float, float]  # width, height

Relation = Literal["same", "turned", "scaled"]


def relation(declared: Frame | None, upright: Frame, orientation: int) -> Relation:
    """What an image of that EXIF orientation is to the declared frame.

    same: the frame is the upright image's, or is not declared. turned: it is the stored image's, before its turn by a
    quarter. scaled: it is of another size, so that the image was resized since, or the annotations were.
    """
    if declared in (None, upright):
        return "same"
    return "turned" if orientation >= 5 and declared == upright[::-1] else "scaled"


def to_upright(boxes: Floats, declared: Frame | None, upright: Frame, orientation: int) -> Floats:
    """(N, 4) from the declared frame to upright pixels of the image, cut at its borders."""
    moved = boxes.astype(np.float64)  # a share of a pixel is not lost to rounding
    if declared is not None:
        width, height = declared
        if relation(declared, upright, orientation) == "turned":
            moved = _turn(moved, width, height, orientation)
            width, height = height, width
        moved *= np.array([upright[0] / width, upright[1] / height] * 2)
    return clip(moved, *upright)


def _turn(boxes: Floats, width: float, height: float, orientation: int) -> NDArray[np.float64]:
    """As `images._upright` moves pixels, for orientations 5 to 8: the sides are swapped, then mirrored."""
    x1, y1, x2, y2 = boxes[:, [1, 0, 3, 2]].T
    if orientation in (6, 7):
        x1, x2 = height - x2, height - x1
    if orientation in (7, 8):
        y1, y2 = width - y2, width - y1
    return np.stack([x1, y1, x2, y2], axis=1)
