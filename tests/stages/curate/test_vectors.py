"""Comparisons of float16 vectors against rational arithmetic, and in any order and shape."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from stages.curate.vectors import ERROR, Vectors, alike, cosines, nearest


def unit(values: np.ndarray) -> Vectors:
    found: Vectors = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)
    return found


def drawn(count: int, width: int = 48, seed: int = 0) -> Vectors:
    return unit(np.random.default_rng(seed).normal(size=(count, width)))


def exact(one: np.ndarray, other: np.ndarray) -> Fraction:
    """The product of two vectors, without rounding."""
    return sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(one, other, strict=True)), Fraction(0))


def test_products_are_exact_in_float64() -> None:
    one, other = drawn(20, 384), drawn(20, 384, 1)
    one[0, 1:] *= np.float16(1e-4)  # numbers of float16 below its normal ones
    found = one.astype(np.float64) @ other.astype(np.float64).T
    assert [Fraction(found[i, i].item()) for i in range(20)] == [exact(a, b) for a, b in zip(one, other, strict=True)]
    assert np.array_equal(found, one.astype(np.float64)[:, ::-1] @ other.astype(np.float64)[:, ::-1].T)


def all_cosines(rows: Vectors, columns: Vectors) -> np.ndarray:
    row, column = np.indices((len(rows), len(columns))).reshape(2, -1)
    return cosines(rows, columns, row, column).reshape(len(rows), len(columns))


def test_cosines() -> None:
    rows, columns = drawn(100), drawn(30, seed=1)
    wide, far = rows.astype(np.float64), columns.astype(np.float64)
    expected = wide @ far.T / np.linalg.norm(wide, axis=1)[:, None] / np.linalg.norm(far, axis=1)
    assert all_cosines(rows, columns) == pytest.approx(expected, abs=1e-12)
    nothing = np.zeros((1, 48), np.float16)
    assert all_cosines(rows[:1], nothing).tolist() == [[0.0]]


def test_what_lies_on_the_threshold_is_decided_exactly() -> None:
    """The threshold is the very cosine of a pair, for every pair: it counts, and with the next number it does not."""
    rows, columns = drawn(12), drawn(9, seed=2)
    wanted = all_cosines(rows, columns)

    def found(least: float | np.ndarray) -> list[tuple[int, int]]:
        return [(int(row), int(column)) for row, column in zip(*alike(rows, columns, least), strict=True)]

    for i, j in np.ndindex(12, 9):
        least = wanted[i, j].item()
        assert found(least) == [tuple(pair) for pair in np.argwhere(wanted >= least).tolist()]
        assert (i, j) not in found(float(np.nextafter(least, 2)))
    own = wanted[:, 3]  # a threshold for each row
    assert found(own) == [tuple(pair) for pair in np.argwhere(wanted >= own[:, None]).tolist()]
    assert found(2.0) == []


def test_the_nearest_centres_whatever_the_block() -> None:
    rows, centres = drawn(300), drawn(40, seed=3)
    centres[31] = centres[7]  # equal ones: the first counts
    products = rows.astype(np.float64) @ centres.astype(np.float64).T
    expected = np.argsort(-products, axis=1, kind="stable")
    for count in (1, 3, 40, 50):
        found, product = nearest(rows, centres, count)
        assert np.array_equal(found, expected[:, :count]) and np.array_equal(product, products.max(1))
    alone = [nearest(rows[number : number + 1], centres, 2)[0][0].tolist() for number in range(50)]
    assert alone == expected[:50, :2].tolist()


def test_centres_that_are_nearer_to_each_other_than_float32_can_tell() -> None:
    centre = drawn(1, 384)
    centres = np.repeat(centre, 30, axis=0)
    for number in range(30):
        centres[number, number] = np.nextafter(centres[number, number], np.float16(1 if number % 2 else -1))
    rows = unit(np.repeat(centre, 50, axis=0) + np.random.default_rng(0).normal(0, 1e-3, (50, 384)))
    products = rows.astype(np.float64) @ centres.astype(np.float64).T
    assert np.ptp(products, axis=1).max() < ERROR
    assert np.array_equal(nearest(rows, centres, 5)[0], np.argsort(-products, axis=1, kind="stable")[:, :5])
