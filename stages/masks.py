"""What a mask says about its box: how much of the box it fills, and how far its own tight box is from it.

A mask that leaves its box half empty, or fills it wholly, is a sign of a bad box: the teacher's box is too large, or
lies on texture without an object, so that the network took the box itself for the object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.items import Boxes, Flags, Masks
from schemas.rows import Mask
from schemas.tables import MaskTable, PseudoTable
from stages.geometry import area, clip, iou
from stages.rle import area as mask_area
from stages.rle import area_within, checked_runs, tight_box, to_json

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Measures:
    """Of N masks beside their boxes."""

    pixels: Ints  # (N,): area of the mask
    fill: Floats  # (N,): share of the box that is mask, 0..1
    gap: Floats  # (N,): 1 - IoU of the box and the tight box around the mask; 1 for an empty mask


def measure(boxes: NDArray[np.float32], masks: Masks) -> Measures:
    """Boxes (N, 4), half-open pixels of the masks' frame, and their N masks. Raises ValueError for a damaged mask."""
    corners = boxes.astype(np.float64)
    inner = np.ceil(clip(corners, masks.width, masks.height) - 0.5).astype(np.int64)  # pixels with their centre inside
    pixels, within = np.zeros(len(boxes), np.int64), np.zeros(len(boxes), np.int64)
    tight = np.zeros((len(boxes), 4))
    sizes = zip(masks.counts.to_pylist(), masks.height.tolist(), masks.width.tolist(), strict=True)
    for number, (counts, height, width) in enumerate(sizes):
        runs = checked_runs(counts, height, width)
        x1, y1, x2, y2 = inner[number].tolist()
        pixels[number] = mask_area(runs)
        within[number] = area_within(runs, height, (x1, y1, x2, y2))
        tight[number] = tight_box(runs, height)
    whole = area(corners)
    fill = np.divide(within, whole, out=np.zeros(len(boxes)), where=whole > 0)
    return Measures(pixels, np.minimum(fill, 1.0), (1.0 - iou(corners, tight)).astype(np.float64))


@dataclass(frozen=True)
class Selected:
    """The boxes of pseudo that leave the run, in their order, each with its mask where there is one."""

    boxes: Boxes
    masks: list[Mask | None]
    stays: Flags  # (N,) which of pseudo's boxes these are

    @property
    def left_out(self) -> int:
        """Boxes further from their masks than the limit."""
        return int((~self.stays).sum())


def select(pseudo: PseudoTable, table: MaskTable | None, limit: float) -> Selected:
    """Boxes whose gap is at most `limit`, that is `filter.max_mask_box_gap`; one without a mask stays.

    `table` has a row for each row of pseudo but those that the mask stage rejected; None: there are no masks. Raises
    ValueError where its masks are not of these boxes.
    """
    boxes = pseudo.boxes
    has_mask = np.zeros(len(boxes), np.bool_)
    masks: list[Mask | None] = [None] * len(boxes)
    keep = np.ones(len(boxes), np.bool_)
    if table is not None:
        has_mask, found = masks_beside(pseudo, table)
        for number, mask in zip(np.flatnonzero(has_mask).tolist(), records_of(found), strict=True):
            masks[number] = mask
        if limit < 1.0:
            keep[has_mask] = measure(boxes.xyxy[has_mask], found).gap <= limit
    kept = [mask for mask, stays in zip(masks, keep.tolist(), strict=True) if stays]
    return Selected(boxes.keep(keep), kept, keep)


def masks_beside(pseudo: PseudoTable, table: MaskTable) -> tuple[Flags, Masks]:
    """Which boxes of pseudo (N,) have a mask, and the masks of those, in their order. Raises ValueError as `select`."""
    has_row = pc.is_in(pseudo.key, value_set=table.key).to_numpy(zero_copy_only=False)
    masks = table.aligned(pseudo.key.filter(pa.array(has_row))).masks
    boxes = pseudo.boxes
    if not np.array_equal(masks.lengths, boxes.lengths[has_row]):
        raise ValueError("the masks are not those of the boxes in pseudo; run `phrasebox mask` again")
    return has_row[boxes.row], masks


def records_of(masks: Masks) -> Iterator[Mask]:
    """One by one."""
    columns = (masks.counts.to_pylist(), masks.height.tolist(), masks.width.tolist(), masks.score.tolist())
    return map(Mask, *columns)


def segmentation(mask: Mask | None) -> dict[str, Any]:
    """What a box's JSON says of its mask, as COCO writes it; nothing where there is none."""
    return {} if mask is None else {"segmentation": to_json(mask.counts, mask.height, mask.width)}
