"""The grids on which figures are counted. All edges are plain doubles, so that anyone can count again and agree."""

from __future__ import annotations

import numpy as np

from stages.flat import Floats, Ints

THRESHOLDS = np.array([i / 100 for i in range(101)])  # 0.00, 0.01 ... 1.00
COSINES = np.array([i / 100 for i in range(-100, 101)])  # -1.00, -0.99 ... 1.00
SIDE_BINS = 20  # of the square root of a box's share of its image, 0..1
AREA_EDGES = np.array([(i / SIDE_BINS) * (i / SIDE_BINS) for i in range(SIDE_BINS + 1)])
ASPECT_EDGES = np.array([2.0 ** (k / 2) for k in range(-8, 9)])  # width / height, from 1/16 to 16
HEAT_CELLS = 24  # of the heat map, along each side
LONGEST_COUNT = 100  # boxes per image and per phrase beyond it share the last bin

WHOLE_IMAGE = 0.95  # a box with at least this share of its image's area is a whole-image box
NEAR_DUPLICATE_IOU = 0.9
CROWDED_IOU = 0.5


def passed(score: Floats) -> Ints:
    """How many thresholds of the grid a score is above: it is above threshold i exactly when the result exceeds i."""
    return np.searchsorted(THRESHOLDS, score, side="left").astype(np.int64)


def passed_cosine(cosine: Floats) -> Ints:
    """The same on the grid of cosines."""
    return np.searchsorted(COSINES, cosine, side="left").astype(np.int64)


def above(counts_by_passed: Ints) -> Ints:
    """From a histogram of `passed` (length 102) to the number above each of the 101 thresholds."""
    return counts_by_passed[::-1].cumsum()[::-1][1:]


def bin_of(values: Floats, edges: Floats) -> Ints:
    """Bin i holds edges[i] <= value < edges[i + 1]; what lies outside joins the first or the last bin."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2).astype(np.int64)
