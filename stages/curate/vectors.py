"""Arithmetic on the vectors of images, with results that no order of summation changes.

Vectors are float16, of length 1 but for rounding. Their numbers are multiples of 2^-24, so that float64 holds every sum
of their products exactly. Comparisons are made in float32, and again in float64 where that might decide otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Vectors = NDArray[np.float16]
Ints = NDArray[np.int64]
Cosines = NDArray[np.float64]

ERROR = 2e-4  # of a product of two vectors in float32, with room to spare
SLACK = 2e-3  # of such a product from the cosine, whose vectors are not quite of length 1
PAIRS_AT_ONCE = 1 << 15
ROWS_AT_ONCE = 1 << 13


def cosines(rows: Vectors, columns: Vectors, row: Ints, column: Ints) -> Cosines:
    """(M,) of pairs of (R, D) and (C, D)."""
    found = np.empty(len(row), np.float64)
    for start in range(0, len(row), PAIRS_AT_ONCE):
        now = slice(start, start + PAIRS_AT_ONCE)
        first, second = rows[row[now]].astype(np.float64), columns[column[now]].astype(np.float64)
        lengths = np.sqrt((first * first).sum(1)) * np.sqrt((second * second).sum(1))
        found[now] = (first * second).sum(1) / np.maximum(lengths, 1e-9)
    return found


def alike(rows: Vectors, columns: Vectors, least: float | Cosines) -> tuple[Ints, Ints]:
    """(M,), (M,) row and column of the pairs of (R, D) and (C, D) whose cosine is `least`, or (R,) a number for each
    row, or more."""
    products = rows.astype(np.float32) @ columns.astype(np.float32).T
    each = np.broadcast_to(np.asarray(least, np.float64), len(rows))
    near = np.flatnonzero(products >= (each - SLACK).astype(np.float32)[:, None])
    row, column = np.divmod(near, len(columns))
    chosen = products.reshape(-1)[near] >= each[row] + SLACK
    unsure = np.flatnonzero(~chosen)
    chosen[unsure] = cosines(rows, columns, row[unsure], column[unsure]) >= each[row[unsure]]
    return row[chosen], column[chosen]


def nearest(rows: Vectors, centres: Vectors, count: int) -> tuple[NDArray[np.int32], Cosines]:
    """(N, count) numbers of the centres (C, D) with the greatest products with each row (N, D), from the greatest down,
    of equal ones the first; and (N,) the product with the first of them. At most C are there, and one at least."""
    count = min(count, len(centres))
    narrow, wide = centres.astype(np.float32).T, centres.astype(np.float64).T
    found, product = np.empty((len(rows), count), np.int32), np.empty(len(rows), np.float64)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        now = slice(start, start + ROWS_AT_ONCE)
        block = rows[now]
        top, close = _greatest(block.astype(np.float32) @ narrow, count)
        top[close] = np.argsort(-(block[close].astype(np.float64) @ wide), axis=1, kind="stable")[:, :count]
        found[now] = top
        product[now] = (block.astype(np.float64) * centres[top[:, 0]].astype(np.float64)).sum(1)
    return found, product


def _greatest(products: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], Ints]:
    """(R, C) -> (R, count) places of the greatest products, and the rows in which rounding might change their order.
    Overwrites `products`."""
    every = np.arange(len(products))
    places, values = [], []
    for _ in range(min(count + 1, products.shape[1])):
        place = products.argmax(1)
        places.append(place)
        values.append(products[every, place])
        products[every, place] = -np.inf
    close = (-np.diff(np.stack(values, axis=1), axis=1) < ERROR).any(1)
    return np.stack(places[:count], axis=1), np.flatnonzero(close)
