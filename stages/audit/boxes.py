"""Figures of boxes: counts, scores, sizes, positions, overlaps. All are integers, so that parts add up exactly."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages import grid
from stages.flat import Flags, FlatBoxes, Floats, Ints
from stages.geometry import area, iou, pairs_within


def label_figures(labels: FlatBoxes) -> dict[str, Any]:
    """Scores on the grid of thresholds: of boxes, and of the best box of each image."""
    best = np.zeros(len(labels.rows), np.int64)
    passed = grid.passed(labels.score)
    position = np.searchsorted(labels.rows, labels.row)  # rows ascend: keys sort in input order
    np.maximum.at(best, position, passed)
    has_box = np.bincount(position, minlength=len(best)) > 0
    return {
        "labelled_pairs": len(labels.rows),
        "pairs_with_any_box": int(has_box.sum()),
        "boxes_labelled": len(labels),
        "label_scores": np.bincount(passed, minlength=102).tolist(),
        "pair_best_scores": np.bincount(best[has_box], minlength=102).tolist(),
    }


def kept_figures(kept: FlatBoxes, asked: Flags) -> dict[str, Any]:
    """Figures of the boxes that passed the filter; `asked`: which phrases (P,) the teacher was asked for."""
    per_image = np.bincount(np.searchsorted(kept.rows, kept.row), minlength=len(kept.rows))
    per_phrase = np.bincount(kept.phrase, minlength=len(asked))
    return {
        "filtered_pairs": len(kept.rows),
        "pairs_with_boxes": int((per_image > 0).sum()),
        "boxes": len(kept),
        "phrases_grounded": int((per_phrase > 0).sum()),
        "boxes_per_image": _counts(per_image),
        "boxes_per_phrase": _counts(per_phrase[asked | (per_phrase > 0)]),
        "kept_scores": np.bincount(grid.passed(kept.score), minlength=102).tolist(),
        **shape_figures(kept),
    }


def shape_figures(kept: FlatBoxes) -> dict[str, Any]:
    """Area as a share of the image, COCO's size classes, aspect, and the position of centres on a grid of cells."""
    x1, y1, x2, y2 = kept.xyxy.T
    share, pixels = area_share(kept), area(kept.xyxy)
    across = np.clip((x1 + x2) / 2 / kept.width * grid.HEAT_CELLS, 0, grid.HEAT_CELLS - 1).astype(np.int64)
    down = np.clip((y1 + y2) / 2 / kept.height * grid.HEAT_CELLS, 0, grid.HEAT_CELLS - 1).astype(np.int64)
    return {
        "side_share": np.bincount(grid.bin_of(share, grid.AREA_EDGES), minlength=grid.SIDE_BINS).tolist(),
        "coco_sizes": [
            int((pixels < 32 * 32).sum()),
            int(((pixels >= 32 * 32) & (pixels < 96 * 96)).sum()),
            int((pixels >= 96 * 96).sum()),
        ],
        "aspect": np.bincount(
            grid.bin_of((x2 - x1) / (y2 - y1), grid.ASPECT_EDGES), minlength=len(grid.ASPECT_EDGES) - 1
        ).tolist(),
        "heat": np.bincount(down * grid.HEAT_CELLS + across, minlength=grid.HEAT_CELLS**2).tolist(),
        "whole_image_boxes": int((share >= grid.WHOLE_IMAGE).sum()),
    }


def area_share(boxes: FlatBoxes) -> Floats:
    """Share of its image's area that each box covers (N,)."""
    share: Floats = area(boxes.xyxy) / (boxes.width * boxes.height)
    return share


def overlaps(kept: FlatBoxes) -> tuple[Ints, Ints]:
    """Which boxes nearly coincide with a box of another phrase (N,), and how many overlapping pairs each row has.

    Near-duplicate: IoU >= 0.9 with a box of another phrase in the same image. Crowded pair: IoU >= 0.5, any phrase.
    """
    near = np.zeros(len(kept), np.int64)
    crowded = np.zeros(len(kept.rows), np.int64)
    position = np.searchsorted(kept.rows, kept.row)
    for left, right in pairs_within(kept.row):
        overlap = iou(kept.xyxy[left], kept.xyxy[right])
        same = (overlap >= grid.NEAR_DUPLICATE_IOU) & (kept.phrase[left] != kept.phrase[right])
        near[left[same]] = 1
        near[right[same]] = 1
        crowded += np.bincount(position[left[overlap >= grid.CROWDED_IOU]], minlength=len(crowded))
    return near, crowded


def _counts(values: Ints) -> list[int]:
    """Histogram of 0, 1 ... LONGEST_COUNT (the last one: that many or more)."""
    counts: list[int] = np.bincount(np.minimum(values, grid.LONGEST_COUNT), minlength=grid.LONGEST_COUNT + 1).tolist()
    return counts
