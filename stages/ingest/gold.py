"""True boxes of a source row, moved into the frame of its image."""

from __future__ import annotations

import numpy as np

from schemas import rows
from stages.geometry import Floats, clip
from stages.images import ImageInfo
from stages.ingest.row import Gold


def gold_row(key: str, gold: Gold | None, info: ImageInfo | None) -> rows.GoldRow:
    """One row of the gold dataset; a row without true boxes has empty lists."""
    if gold is None:
        return rows.GoldRow(key, (), ())
    corners = to_image_frame(np.array([box.box for box in gold.boxes], np.float64).reshape(-1, 4), gold, info)
    boxes = tuple(
        rows.GoldBox(box.span, x1, y1, x2, y2, box.category)
        for box, (x1, y1, x2, y2) in zip(gold.boxes, corners.tolist(), strict=True)
        if x2 > x1 and y2 > y1
    )
    return rows.GoldRow(key, tuple(rows.Span(start, end) for start, end in gold.spans), boxes)


def to_image_frame(boxes: Floats, gold: Gold, info: ImageInfo | None) -> Floats:
    """(N, 4) from the frame that the source gives its boxes in to upright pixels of the image, clipped to it.

    A frame that is the stored image's own, before its EXIF turn by a quarter, is turned as the image is; any other is
    scaled. Without an image the boxes stay in their frame.
    """
    width, height = gold.width, gold.height
    if info is None:
        return clip(boxes, width, height)
    if info.orientation >= 5 and (width, height) == (info.height, info.width) and width != height:
        boxes = _turn(boxes, width, height, info.orientation)
        width, height = height, width
    scale = np.array([info.width / width, info.height / height] * 2)
    return clip(boxes * scale, info.width, info.height)


def _turn(boxes: Floats, width: float, height: float, orientation: int) -> Floats:
    """As `images._upright` moves pixels, for orientations 5 to 8: the sides are swapped, then mirrored."""
    x1, y1, x2, y2 = boxes[:, [1, 0, 3, 2]].T
    if orientation in (6, 7):
        x1, x2 = height - x2, height - x1
    if orientation in (7, 8):
        y1, y2 = width - y2, width - y1
    return np.stack([x1, y1, x2, y2], axis=1)
