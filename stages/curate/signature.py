"""What is kept of an image to find its copies by: bits of several views of it, and a thumbnail.

Each view is a rectangle of the image: the whole, the whole without a caption bar, and the whole with a twentieth of a
side cut off in the ways that crops do. For each, the signs of its 96 lowest frequencies are its bits, as in perceptual
hashing by the discrete cosine transform. A copy that was cropped has, as a whole, nearly the bits of that view of its
original. A sign does not change with brightness and contrast, and hardly with size, colour and compression.

All arithmetic is on whole numbers that float64 holds exactly, so that the bits do not depend on the order of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 64  # pixels of the square that an image is reduced to
THUMB = 24  # pixels of a side of the thumbnail
BITS = 96  # of a view
BYTES = BITS // 8
FREQUENCIES = 14  # in each direction; the 96 lowest, by k + l, have no index above 13
SCALE = 4096  # of the cosines, which are rounded to whole numbers

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """A rectangle of an image, as shares of its sides. `plain`: what a copy shows of an image that was not cropped,
    against which the other views are compared; crops are never compared with crops."""

    x1: float
    y1: float
    x2: float
    y2: float
    plain: bool = False


CUT, TWICE = 0.05, 0.05 + 0.05 * 0.9  # of a side; the second is a crop of a crop of all sides
BAR = 0.1 / 1.1  # of the height, where a bar of a tenth of it was added
PLAIN = (
    View(0, 0, 1, 1, plain=True),
    View(0, 0, 1, 1 - BAR, plain=True),
    View(0, 0, 1, 0.9, plain=True),  # the bar was laid over the image
    View(0, BAR, 1, 1, plain=True),
)
CROPS = (
    *(View(x1, y1, x2, y2) for x1, x2 in ((0, 1), (CUT, 1), (0, 1 - CUT)) for y1, y2 in ((0, 1), (CUT, 1), (0, 1 - CUT))
      if (x1, y1, x2, y2) != (0, 0, 1, 1)),
    View(CUT, CUT, 1 - CUT, 1 - CUT),
    View(TWICE, CUT, 1 - CUT, 1 - CUT),
    View(CUT, CUT, 1 - TWICE, 1 - CUT),
    View(CUT, TWICE, 1 - CUT, 1 - CUT),
    View(CUT, CUT, 1 - CUT, 1 - TWICE),
)  # fmt: skip
VIEWS = (*PLAIN, *CROPS)


def signatures(grey: Bytes) -> tuple[Bytes, Bytes]:
    """(N, SIDE, SIDE) grey images -> bits of their views (N, len(VIEWS), BYTES), and thumbnails (N, THUMB, THUMB)."""
    return bits_of(frequencies(grey)), thumbnails(grey)


def frequencies(grey: Bytes) -> Floats:
    """(N, SIDE, SIDE) -> (N, len(VIEWS), BITS) the lowest ones of each view, from low to high."""
    pixels = grey.astype(np.float64)
    rows, columns = _indices()
    found = np.empty((len(grey), len(VIEWS), BITS))
    for number, view in enumerate(VIEWS):
        low = np.matmul(np.matmul(_cosines(view.y1, view.y2), pixels), _cosines(view.x1, view.x2).T)  # (N, K, K)
        found[:, number] = low[:, rows, columns]
    return found


def bits_of(waves: NDArray[Any]) -> Bytes:
    """(N, len(VIEWS), BITS) -> (N, len(VIEWS), BYTES) their signs.

    Bit b of byte i is that of frequency 12 b + i, so that every byte has low and high frequencies.
    """
    spread = (waves > 0).reshape(*waves.shape[:2], 8, BYTES).swapaxes(2, 3)
    return np.packbits(spread, axis=-1)[..., 0]


def mirror_mask() -> Bytes:
    """(BYTES,) bits that are the other way round in a mirrored image: those of odd horizontal frequencies."""
    odd = (_indices()[1] % 2).astype(np.bool_)
    mask: Bytes = np.packbits(odd.reshape(8, BYTES).T, axis=-1)[:, 0]
    return mask


@cache
def _indices() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Vertical and horizontal index of each bit, from low to high, without the mean."""
    waves = [(down, across) for down in range(FREQUENCIES) for across in range(FREQUENCIES) if down + across]
    order = sorted(waves, key=lambda wave: (sum(wave), wave))
    rows, columns = np.array(order[:BITS], np.intp).T
    return rows, columns


@cache
def _cosines(start: float, stop: float) -> Floats:
    """(FREQUENCIES, SIDE) the cosines of an interval of the side, each integrated over a pixel, in whole numbers."""
    edge = np.clip((np.arange(SIDE + 1) / SIDE - start) / (stop - start), 0, 1)  # of the pixels, in the interval
    wave = np.arange(FREQUENCIES)[:, None]
    integral = np.where(wave == 0, edge, np.sin(np.pi * wave * edge) / (np.pi * np.maximum(wave, 1)))
    found: Floats = np.round(np.diff(integral, axis=1) * SIDE * SCALE)
    return found


def thumbnails(grey: Bytes) -> Bytes:
    """(N, SIDE, SIDE) -> (N, THUMB, THUMB) means of areas, of a third of a pixel's precision."""
    pixels = grey.astype(np.float64)
    share = area_weights(0, 1, SIDE, THUMB) * 3 * (SIDE / THUMB)
    whole = np.round(share)  # thirds of a pixel: SIDE / THUMB is 8 / 3
    total = np.matmul(np.matmul(whole, pixels), whole.T)  # 64 times the mean
    thumbs: Bytes = np.floor_divide(total + 32, 64).astype(np.uint8)
    return thumbs


def area_weights(start: float, stop: float, pixels: int, cells: int) -> Floats:
    """(cells, pixels) what each pixel of a side adds to the mean of each cell of the interval."""
    edges = (start + (stop - start) * np.arange(cells + 1) / cells) * pixels
    place = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    found: Floats = np.clip(overlap, 0, None) * (cells / ((stop - start) * pixels))
    return found


def as_rows(values: NDArray[Any]) -> Bytes:
    """(N, ...) -> (N, bytes of an item)."""
    return np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8)
