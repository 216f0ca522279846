"""What masks say about their boxes, by hand and against pixels, and which boxes leave a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.rows import Box, Mask, MaskRow, PseudoRow
from schemas.tables import MaskTable, PseudoTable
from stages.masks import masks_beside, measure, segmentation, select
from stages.rle import encode

HEIGHT, WIDTH = 10, 20
KEYS = [f"{row:012d}" for row in range(4)]


def block(x1: int, y1: int, x2: int, y2: int) -> NDArray[np.bool_]:
    pixels = np.zeros((HEIGHT, WIDTH), np.bool_)
    pixels[y1:y2, x1:x2] = True
    return pixels


def mask_of(pixels: NDArray[np.bool_]) -> Mask:
    return Mask(encode(pixels), *pixels.shape, 0.5)


def box(*corners: float) -> Box:
    return Box(0, *corners, score=0.75)


def tables(*rows: tuple[list[Box], list[Mask]]) -> tuple[PseudoTable, MaskTable]:
    pseudo = [PseudoRow(key, WIDTH, HEIGHT, tuple(boxes), ()) for key, (boxes, _) in zip(KEYS, rows)]
    masks = [MaskRow(key, tuple(own)) for key, (_, own) in zip(KEYS, rows)]
    return PseudoTable.of_records(pseudo), MaskTable.of_records(masks)


@pytest.mark.parametrize(
    ("corners", "pixels", "fill", "gap"),
    [
        ((2, 2, 12, 8), block(2, 2, 12, 8), 1.0, 0.0),  # fills it wholly
        ((2, 2, 12, 8), block(2, 2, 7, 8), 0.5, 0.5),  # leaves the right half empty
        ((2, 2, 12, 8), block(0, 0, 0, 0), 0.0, 1.0),  # nothing
        ((2, 2, 12, 8), block(14, 2, 19, 8), 0.0, 1.0),  # elsewhere
        ((2, 2, 12, 8), block(2, 2, 12, 8) & ~block(3, 3, 11, 7), 28 / 60, 0.0),  # a frame: tight, but half empty
        ((2, 2, 7, 8), block(2, 2, 12, 8), 1.0, 0.5),  # twice as wide as the box
        ((2.4, 2.4, 12.4, 8.4), block(2, 2, 12, 8), 1.0, 1 - 9.6 * 5.6 / (60 + 60 - 9.6 * 5.6)),
    ],
)
def test_fill_and_gap_by_hand(corners: Any, pixels: NDArray[np.bool_], fill: float, gap: float) -> None:
    _, table = tables(([box(*corners)], [mask_of(pixels)]))
    found = measure(np.array([corners], np.float32), table.masks)
    assert found.pixels.tolist() == [pixels.sum()]
    assert found.fill[0] == pytest.approx(fill) and found.gap[0] == pytest.approx(gap, abs=1e-6)


def test_measures_are_those_of_the_pixels() -> None:
    random = np.random.default_rng(0)
    boxes, masks = [], []
    for _ in range(200):
        x1, y1 = random.integers(0, WIDTH - 4), random.integers(0, HEIGHT - 4)
        x2, y2 = random.integers(x1 + 1, WIDTH + 1), random.integers(y1 + 1, HEIGHT + 1)
        boxes.append([x1, y1, x2, y2])
        masks.append(random.random((HEIGHT, WIDTH)) < random.choice([0.02, 0.3, 0.9]))
    _, table = tables(([], [mask_of(pixels) for pixels in masks]))
    found = measure(np.array(boxes, np.float32), table.masks)
    assert len(boxes) == 200
    for number, ((x1, y1, x2, y2), pixels) in enumerate(zip(boxes, masks, strict=True)):
        assert found.pixels[number] == pixels.sum()
        assert found.fill[number] == pytest.approx(pixels[y1:y2, x1:x2].mean())
        tight = np.zeros_like(pixels)
        rows, columns = np.nonzero(pixels)
        if len(rows):
            tight[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        own = block(x1, y1, x2, y2)
        assert found.gap[number] == pytest.approx(1 - (tight & own).sum() / (tight | own).sum())


def test_boxes_that_leave_the_run_have_their_masks_and_keep_their_order() -> None:
    whole, half = mask_of(block(2, 2, 12, 8)), mask_of(block(2, 2, 7, 8))
    boxes = [box(2, 2, 12, 8), box(2, 2, 12, 7.5), box(2, 2, 12, 9)]
    pseudo, table = tables((boxes[:2], [whole, half]), ([], []), (boxes[2:], [half]))
    everything = select(pseudo, table, 1.0)
    assert (everything.masks, everything.left_out) == ([whole, half, half], 0)
    kept = select(pseudo, table, 0.4)
    assert (kept.masks, kept.left_out, kept.boxes.lengths.tolist()) == (
        [whole],
        2,
        [
            1,
            0,
            0,
        ],
    )
    assert kept.boxes.xyxy.tolist() == [[2, 2, 12, 8]]


def test_without_masks_and_without_a_row_boxes_stay() -> None:
    pseudo, table = tables(([box(2, 2, 12, 8)], [mask_of(block(0, 0, 0, 0))]), ([box(1, 1, 3, 3)], []))
    assert select(pseudo, None, 0.1).masks == [None, None]
    rejected = MaskTable(table.table.slice(0, 1))  # the second row was rejected by the mask stage
    found = select(pseudo, rejected, 0.5)
    assert (found.masks, found.left_out, found.boxes.lengths.tolist()) == ([None], 1, [0, 1])
    has_mask, masks = masks_beside(pseudo, rejected)
    assert has_mask.tolist() == [True, False] and len(masks) == 1


def test_masks_of_other_boxes_are_an_error() -> None:
    pseudo, table = tables(([box(2, 2, 12, 8)], []), ([], []))
    with pytest.raises(ValueError, match="not those of the boxes in pseudo; run `phrasebox mask` again"):
        select(pseudo, table, 1.0)


def test_segmentation_is_what_coco_writes() -> None:
    assert segmentation(None) == {}
    pixels = np.array([[0, 1], [1, 1], [0, 0]], np.bool_)
    assert segmentation(mask_of(pixels)) == {"segmentation": {"size": [3, 2], "counts": "11110"}}
