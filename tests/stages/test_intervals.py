"""Intervals against textbooks and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stages.intervals import poisson, wilson


def test_wilsons_interval_is_that_of_the_textbook() -> None:
    """Of 10 judgements of 10: 10 / (10 + z^2) = 0.722; of 0: one minus that. Of 8 of 20: the roots of its quadratic."""
    assert wilson(1.0, 10) == pytest.approx((0.722467, 1.0), abs=1e-5)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.277533), abs=1e-5)
    z, n, p = 1.959964, 20, 0.4
    roots = np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2])
    assert sorted(wilson(p, n)) == pytest.approx(sorted(roots.tolist()))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 2000])
def test_the_interval_of_rare_events_is_exact(count: int) -> None:
    """Its ends are quantiles of chi-squared distributions."""
    low, high = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, stats.chi2.ppf(0.975, 2 * count + 2) / 2
    assert poisson(count) == pytest.approx((low, high), rel=1e-6)
