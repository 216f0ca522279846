"""Masks as COCO's run lengths, in numpy: a row of counts down the columns of the image, and their compressed form.

pycocotools has the same in C. Labelling machines need not have it, and a run length is all that most questions about a
mask ask for: area, tight box and overlap follow from the counts without an array of pixels.

The runs of a mask alternate, beginning with pixels outside (0 of them where the first pixel is inside). Compressed, a
count from the fourth on is written as its difference from the count two before it; a number is cut into groups of 5
bits, low ones first, each a character from `0` on, of which the sixth bit says that another group follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Pixels = NDArray[np.bool_]

BITS, MORE, FIRST = 5, 1 << 5, 48  # of a group; the flag that another follows; the character of 0


def encode(mask: Pixels) -> bytes:
    """(H, W) -> compressed counts, equal to those of `pycocotools.mask.encode`."""
    return compress(runs_of(mask))


def decode(counts: bytes, height: int, width: int) -> Pixels:
    """Compressed counts -> (H, W). Raises ValueError for counts that are not those of so many pixels."""
    runs = checked_runs(counts, height, width)
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def runs_of(mask: Pixels) -> Ints:
    """(H, W) -> its run lengths."""
    flat = np.asarray(mask, np.bool_).T.ravel()  # down the columns
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate([[0] if flat.size and flat[0] else [], [0], changes, [flat.size]]).astype(np.int64)
    return np.diff(edges)


def compress(runs: Ints) -> bytes:
    """Run lengths -> the characters that COCO writes."""
    numbers = runs.astype(np.int64)
    numbers[3:] = runs[3:] - runs[1:-2]
    groups: list[Ints] = []
    unfinished = np.ones(len(numbers), np.bool_)
    while unfinished.any():
        low = numbers & (MORE - 1)
        numbers >>= BITS
        more = np.where(low & (MORE >> 1), numbers != -1, numbers != 0)  # the sign is in the highest bit of the last
        groups.append(np.where(unfinished, low + np.where(more, MORE, 0) + FIRST, 0))
        unfinished &= more
    written = np.stack(groups, axis=1)  # (R, groups of the longest), 0 where a number has ended
    counts: bytes = written[written != 0].astype(np.uint8).tobytes()
    return counts


def runs_of_counts(counts: bytes) -> Ints:
    """Compressed counts -> run lengths. Raises ValueError for bytes that are none."""
    groups = np.frombuffer(counts, np.uint8).astype(np.int64) - FIRST
    if len(groups) and (groups.min() < 0 or groups.max() >= 2 * MORE or groups[-1] & MORE):
        raise ValueError("no compressed run lengths of COCO")
    ends = np.flatnonzero(groups & MORE == 0)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    place = np.arange(len(groups)) - np.repeat(starts, ends - starts + 1)  # of each group in its number
    if len(place) and place.max() > 11:
        raise ValueError("no compressed run lengths of COCO")
    numbers = np.add.reduceat((groups & (MORE - 1)) << (BITS * place), starts) if len(ends) else ends
    negative = groups[ends] & (MORE >> 1) != 0
    numbers = numbers - np.where(negative, np.int64(1) << (BITS * (place[ends] + 1)), 0)
    runs = numbers.copy()
    runs[1::2] = np.cumsum(numbers[1::2])  # differences begin at the fourth count: that of the second
    runs[2::2] = np.cumsum(numbers[2::2])
    return runs


def checked_runs(counts: bytes, height: int, width: int) -> Ints:
    """The run lengths. Raises ValueError for counts that are not those of height x width pixels."""
    runs = runs_of_counts(counts)
    if len(runs) and runs.min() < 0:
        raise ValueError("a run of a mask has a negative length")
    if runs.sum() != height * width:
        raise ValueError(f"the runs of a mask cover {runs.sum()} pixels, not {height} x {width}")
    return runs


def area(runs: Ints) -> int:
    """Pixels inside."""
    return int(runs[1::2].sum())


def tight_box(runs: Ints, height: int) -> tuple[int, int, int, int]:
    """x1, y1, x2, y2, half-open, around the pixels inside; zeros where there are none."""
    ends = np.cumsum(runs)
    start, last = (ends - runs)[1::2], ends[1::2] - 1
    start, last = start[last >= start], last[last >= start]  # a run may be empty
    if not len(start):
        return 0, 0, 0, 0
    tall = start // height != last // height  # such a run goes on at the top of the next column
    top = 0 if tall.any() else int((start % height).min())
    bottom = height if tall.any() else int((last % height).max()) + 1
    return int(start[0] // height), top, int(last[-1] // height) + 1, bottom


def area_within(runs: Ints, height: int, box: tuple[int, int, int, int]) -> int:
    """Pixels inside that lie in a half-open box of whole pixels, which must lie in the image."""
    x1, y1, x2, y2 = box
    if x2 <= x1 or y2 <= y1:
        return 0
    ends = np.concatenate([[0], np.cumsum(runs)])  # (R + 1,) positions down the columns
    inside = np.where(np.arange(len(runs)) % 2 == 1, runs, 0)
    before = np.concatenate([[0], np.cumsum(inside)])  # pixels inside before each of them; linear between them
    columns = np.arange(x1, x2) * height
    return int((np.interp(columns + y2, ends, before) - np.interp(columns + y1, ends, before)).sum())


def to_json(counts: bytes, height: int, width: int) -> dict[str, Any]:
    """COCO's object for a mask: {"size": [height, width], "counts": ASCII}."""
    return {"size": [height, width], "counts": counts.decode("ascii")}


def of_json(value: Mapping[str, Any]) -> tuple[bytes, int, int]:
    """Compressed counts, height and width of COCO's object, whose counts may also be a list of numbers.

    Raises ValueError, TypeError or KeyError for anything else.
    """
    height, width = map(int, value["size"])
    counts = value["counts"]
    if isinstance(counts, list):
        counts = compress(np.asarray(counts, np.int64))
    data = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
    checked_runs(data, height, width)
    return data, height, width
