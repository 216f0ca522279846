"""Whether two images are really alike: their thumbnails are laid over each other as the two views say, and correlated.

Only fine detail counts, what a thumbnail has beyond the mean of its surroundings: coarse structure, such as a bright
sky over a dark ground, is what the bits of different photographs agree in by chance.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from stages.curate.signature import PLAIN, THUMB, VIEWS, Bytes, Floats, View, area_weights

CELLS = 16  # of a side of the common grid
INNER = CELLS - 2  # without the outermost, which a caption bar may touch
Ints = NDArray[np.int64]


def likeness(first: Bytes, first_view: Ints, second: Bytes, second_view: Ints) -> NDArray[np.float32]:
    """Correlation of the detail of N pairs of thumbnails (N, THUMB, THUMB), each seen through a view (N,): -1 to 1.

    A view is an index of `VIEWS`; from `len(VIEWS)` up, of those of `PLAIN`, with the image mirrored. Equal thumbnails
    have 1, also where they are blank; a blank one and another have 0.
    """
    one, other = _detail(first, first_view), _detail(second, second_view)
    norms = np.sqrt((one * one).sum(1) * (other * other).sum(1))
    found = (one * other).sum(1) / np.maximum(norms, 1e-9)
    same = (first == second).all(axis=(1, 2)) & (first_view == second_view)
    return np.where(same, 1.0, found).astype(np.float32)


def _detail(thumbs: Bytes, views: Ints) -> Floats:
    """(N, THUMB, THUMB) -> (N, INNER * INNER)."""
    found = np.empty((len(thumbs), INNER, INNER))
    for number in np.unique(views).tolist():
        chosen = views == number
        down, across, mean_down, mean_across = _weights(number)
        pixels = thumbs[chosen].astype(np.float64)
        cells = np.matmul(np.matmul(down, pixels), across.T)
        found[chosen] = cells - np.matmul(np.matmul(mean_down, pixels), mean_across.T)
    flat: Floats = found.reshape(len(thumbs), -1)
    flat -= flat.mean(1, keepdims=True)
    return flat


@cache
def _weights(number: int) -> tuple[Floats, Floats, Floats, Floats]:
    """For rows and columns of a view: of the inner cells, and of the mean of each with its neighbours."""
    view, mirrored = view_of(number)
    sides = [area_weights(view.y1, view.y2, THUMB, CELLS), area_weights(view.x1, view.x2, THUMB, CELLS)]
    if mirrored:
        sides[1] = sides[1][:, ::-1]
    down, across = sides
    near = [(side[:-2] + side[1:-1] + side[2:]) / 3 for side in sides]
    return down[1:-1], across[1:-1], near[0], near[1]


def view_of(number: int) -> tuple[View, bool]:
    """The view, and whether the image is mirrored first."""
    return (VIEWS[number], False) if number < len(VIEWS) else (PLAIN[number - len(VIEWS)], True)
