"""Figures of boxes: counts, scores, sizes, positions, overlaps. All are integers, so that parts add up exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stages.audit import grid
from stages.audit.flat import Boxes, Flags, Floats, Ints

PAIRS_AT_ONCE = 4_000_000  # bounds the memory of the all-pairs comparison inside images


def label_figures(labels: Boxes) -> dict[str, Any]:
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


def kept_figures(kept: Boxes, asked: Flags) -> dict[str, Any]:
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


def shape_figures(kept: Boxes) -> dict[str, Any]:
    """Area as a share of the image, COCO's size classes, aspect, and the position of centres on a grid of cells."""
    x1, y1, x2, y2 = kept.xyxy.T
    width, height = x2 - x1, y2 - y1
    share = area_share(kept)
    pixels = width * height
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
            grid.bin_of(width / height, grid.ASPECT_EDGES), minlength=len(grid.ASPECT_EDGES) - 1
        ).tolist(),
        "heat": np.bincount(down * grid.HEAT_CELLS + across, minlength=grid.HEAT_CELLS**2).tolist(),
        "whole_image_boxes": int((share >= grid.WHOLE_IMAGE).sum()),
    }


def area_share(boxes: Boxes) -> Floats:
    """Share of its image's area that each box covers (N,)."""
    x1, y1, x2, y2 = boxes.xyxy.T
    share: Floats = (x2 - x1) * (y2 - y1) / (boxes.width * boxes.height)
    return share


def overlaps(kept: Boxes) -> tuple[Ints, Ints]:
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


def pairs_within(group: Ints) -> Iterator[tuple[Ints, Ints]]:
    """All pairs i < j of the same group, in blocks; the members of a group stand together."""
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.zeros(0, np.int64)
    sizes = np.diff(np.r_[starts, len(group)])
    last = np.repeat(starts + sizes, sizes)
    partners = last - np.arange(len(group)) - 1
    cut = np.flatnonzero(np.diff(np.cumsum(partners) // PAIRS_AT_ONCE)) + 1
    for block in np.split(np.arange(len(group)), cut):
        left = np.repeat(block, partners[block])
        begin = np.cumsum(partners[block]) - partners[block]
        right = left + 1 + np.arange(len(left)) - np.repeat(begin, partners[block])
        yield left, right


def iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (N, 4) with boxes (N, 4), half-open; 0 where both are empty."""
    width = np.maximum(np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0]), 0.0)
    height = np.maximum(np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1]), 0.0)
    inner = width * height
    union = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]) - inner
    ratio: Floats = np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
    return ratio


def _counts(values: Ints) -> list[int]:
    """Histogram of 0, 1 ... LONGEST_COUNT (the last one: that many or more)."""
    counts: list[int] = np.bincount(np.minimum(values, grid.LONGEST_COUNT), minlength=grid.LONGEST_COUNT + 1).tolist()
    return counts
