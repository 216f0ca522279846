"""Figures of masks: areas, and how well each fits its box. All are integers, so that parts add up exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from schemas.tables import MaskTable, PseudoTable
from stages import grid
from stages.flat import Floats, Ints
from stages.masks import Measures, masks_beside, measure

HALF_EMPTY = 0.5  # of a box less than this is mask
FULL = 0.95  # of a box more than this is mask
BINS = 20  # of fill and gap, 0..1
LIMITS = tuple(i / BINS for i in range(1, BINS + 1))  # of `filter.max_mask_box_gap`


def measured(pseudo: PseudoTable, table: MaskTable) -> tuple[Measures, Ints, Floats]:
    """The measures of every mask (N,), the row of each, and the area (N,) of its image."""
    has_mask, masks = masks_beside(pseudo, table)
    boxes = pseudo.boxes.keep(has_mask)
    size = masks.width.astype(np.float64) * masks.height
    return measure(boxes.xyxy, masks), pseudo.numbers[boxes.row], size


def mask_figures(found: Measures, size: Floats) -> dict[str, Any]:
    """`size` (N,): pixels of each mask's image."""
    share = found.pixels / np.maximum(size, 1)
    return {
        "masks": len(found.pixels),
        "empty": int((found.pixels == 0).sum()),
        "half_empty": int((found.fill < HALF_EMPTY).sum()),
        "full": int((found.fill > FULL).sum()),
        "side_share": np.bincount(grid.bin_of(share, grid.AREA_EDGES), minlength=grid.SIDE_BINS).tolist(),
        "fill": _histogram(found.fill),
        "gap": _histogram(found.gap),
        "within": [int((found.gap <= limit).sum()) for limit in LIMITS],
    }


def by_limit(counted: dict[str, Any]) -> list[dict[str, Any]]:
    """What each `filter.max_mask_box_gap` would keep of the boxes with a mask."""
    return [
        {"limit": limit, "boxes": boxes, "share": boxes / counted["masks"] if counted["masks"] else None}
        for limit, boxes in zip(LIMITS, counted["within"], strict=True)
    ]


def with_limits(counted: dict[str, Any]) -> dict[str, Any]:
    """The figures of all parts as stats.json has them."""
    return {name: value for name, value in counted.items() if name != "within"} | {"by_limit": by_limit(counted)}


def worst_gaps(found: Measures, row: Ints, rows: Ints) -> Floats:
    """The largest gap of each of `rows`; 0 for one without masks."""
    largest = np.zeros(len(rows))
    np.maximum.at(largest, np.searchsorted(rows, row), found.gap)
    return largest


def _histogram(values: Floats) -> list[int]:
    """BINS bins of 0..1; 1 joins the last."""
    counts: list[int] = np.bincount(np.minimum((values * BINS).astype(np.int64), BINS - 1), minlength=BINS).tolist()
    return counts
