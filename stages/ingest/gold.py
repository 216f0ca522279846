"""True boxes of a source row, moved into the frame of its image."""

from __future__ import annotations

from typing import Any

from stages.images import ImageInfo
from stages.ingest.row import Box, Gold


def gold_row(key: str, gold: Gold | None, info: ImageInfo | None) -> dict[str, Any]:
    """One row of the gold dataset; a row without true boxes has empty lists."""
    if gold is None:
        return {"key": key, "spans": [], "boxes": []}
    boxes = []
    for box in gold.boxes:
        x1, y1, x2, y2 = to_image_frame(box.box, gold, info)
        if x2 > x1 and y2 > y1:
            boxes.append({"span": box.span, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "category": box.category})
    spans = [{"start": start, "end": end} for start, end in gold.spans]
    return {"key": key, "spans": spans, "boxes": boxes}


def to_image_frame(box: Box, gold: Gold, info: ImageInfo | None) -> Box:
    """From the frame that the source gives its boxes in to upright pixels of the image, clipped to it.

    A frame that is the stored image's own, before its EXIF turn by a quarter, is turned as the image is; any other is
    scaled. Without an image the box stays in its frame.
    """
    x1, y1, x2, y2 = box
    width, height = gold.width, gold.height
    if info is None:
        return _clip((x1, y1, x2, y2), width, height)
    if info.orientation >= 5 and (width, height) == (info.height, info.width) and width != height:
        x1, y1, x2, y2 = _turn((x1, y1, x2, y2), width, height, info.orientation)
        width, height = height, width
    sx, sy = info.width / width, info.height / height
    return _clip((x1 * sx, y1 * sy, x2 * sx, y2 * sy), info.width, info.height)


def _turn(box: Box, width: float, height: float, orientation: int) -> Box:
    """As `images._upright` moves pixels, for orientations 5 to 8: the sides are swapped, then mirrored."""
    y1, x1, y2, x2 = box
    if orientation in (6, 7):
        x1, x2 = height - x2, height - x1
    if orientation in (7, 8):
        y1, y2 = width - y2, width - y1
    return x1, y1, x2, y2


def _clip(box: Box, width: float, height: float) -> Box:
    x1, y1, x2, y2 = box
    return max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
