"""Equal digests against a dict, and columns of binary values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stages.curate.pairs import fixed, same_digest


def test_the_first_with_a_digest() -> None:
    draw = np.random.default_rng(0)
    digests = draw.integers(0, 3, (200, 2)).astype(np.uint64)  # (0, 0): no image
    first: dict[tuple[int, int], int] = {}
    wanted = [
        row if pair == (0, 0) else first.setdefault(pair, row)
        for row, pair in enumerate(tuple(entry) for entry in digests.tolist())
    ]
    assert same_digest(digests).tolist() == wanted
    assert same_digest(digests[:0]).tolist() == []


def test_binary_columns() -> None:
    column = pa.chunked_array([pa.array([b"ab", None], pa.binary(2)), pa.array([b"cd"], pa.binary(2))])
    assert fixed(column, 2).tolist() == [[97, 98], [0, 0], [99, 100]]
    assert fixed(column.slice(2), 2).tolist() == [[99, 100]]
    assert fixed(column.slice(3), 2).shape == (0, 2)
