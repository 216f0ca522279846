"""The packed bytes are read back by a reader that follows the description of the format."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.export.label_studio_rle import pack


class Bits:
    def __init__(self, data: list[int]) -> None:
        assert all(0 <= byte < 256 for byte in data) and data
        self.text = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def take(self, count: int) -> int:
        self.at += count
        return int(self.text[self.at - count : self.at], 2)


def unpack(data: list[int]) -> list[int]:
    """As rle-pack decodes: every value of the array."""
    bits = Bits(data)
    count, size = bits.take(32), bits.take(5) + 1
    lengths = [bits.take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        run, choice = bits.take(1), bits.take(2)
        length = bits.take(lengths[choice]) + 1
        values += [bits.take(size)] * length if run else [bits.take(size) for _ in range(length)]
    assert len(values) == count and len(bits.text) - bits.at < 8
    return values


@pytest.mark.parametrize("seed", range(4))
def test_what_is_packed_comes_back(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = [(1, 1), (7, 9), (31, 64), (300, 400)][seed]
    for density in (0.0, 0.5, 1.0):
        mask: NDArray[np.bool_] = random.random(shape) < density
        pixels = np.array(unpack(pack(mask)), np.uint8).reshape(*shape, 4)
        np.testing.assert_array_equal(pixels, np.repeat(mask[..., None] * np.uint8(255), 4, axis=2))


def test_the_header_by_hand() -> None:
    """One pixel inside: 4 values of 8 bits, the lengths 3, 4, 8 and 16, then a run of 4 in 3 bits of length."""
    bits = "".join(f"{byte:08b}" for byte in pack(np.ones((1, 1), np.bool_)))
    assert bits.startswith(f"{4:032b}" + "00111" + "0010" + "0011" + "0111" + "1111" + "1" + "00" + "011" + "11111111")
