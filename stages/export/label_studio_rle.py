"""Masks as Label Studio stores brushes: the bytes of an RGBA image, run-length packed as by thi.ng/rle-pack.

The packed bits: 32 for the number of values, 5 for the bits of a value less 1, four times 4 for the bits of a run's
length less 1. Then the runs: a flag (1: a run of one value, 0: values one by one), 2 bits that choose one of the four
lengths, the length less 1, and the value once, or as many values. The last byte is filled up with zeros.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VALUE_BITS = 8
LENGTH_BITS = (3, 4, 8, 16)  # the choice of four
CHANNELS = 4  # a pixel of the mask is (255, 255, 255, 255), any other (0, 0, 0, 0)


def pack(mask: NDArray[np.bool_]) -> list[int]:
    """(H, W) -> the bytes of `value.rle`."""
    flat = mask.ravel()  # along the rows
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    bits = [f"{CHANNELS * flat.size:032b}{VALUE_BITS - 1:05b}", *(f"{length - 1:04b}" for length in LENGTH_BITS)]
    for start, length in zip(edges[:-1].tolist(), np.diff(edges).tolist(), strict=True):
        bits.append(_run(CHANNELS * length, 255 if flat[start] else 0))
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def _run(length: int, value: int) -> str:
    """The bits of so many equal values; runs of more than the longest length are cut."""
    longest = 1 << LENGTH_BITS[-1]
    whole, rest = divmod(length, longest)
    return _piece(longest, value) * whole + (_piece(rest, value) if rest else "")


def _piece(length: int, value: int) -> str:
    choice = next(number for number, bits in enumerate(LENGTH_BITS) if length <= 1 << bits)
    return f"1{choice:02b}{length - 1:0{LENGTH_BITS[choice]}b}{value:0{VALUE_BITS}b}"
