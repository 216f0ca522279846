"""Intervals hold the truth as often as they say, on corpora whose truth is known; the formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stages.review.estimate import Stratum, kappa, ratio, share


def test_the_share_is_weighted_by_the_size_of_the_strata() -> None:
    found = share([Stratum(900, [1, 1, 0, 1]), Stratum(100, [0, 0])])
    assert found is not None and found.share == pytest.approx(0.9 * 0.75)
    assert found.low < found.share < found.high and (found.judged, found.size) == (6, 1000)


def test_a_stratum_that_nobody_judged_is_like_its_neighbour() -> None:
    gap = share([Stratum(50, []), Stratum(50, [1, 0]), Stratum(0, []), Stratum(20, [])])
    one = share([Stratum(120, [1, 0])])
    assert gap == one and gap is not None and gap.size == 120
    assert share([Stratum(50, []), Stratum(0, [1.0])]) is None


def test_what_is_judged_whole_is_known() -> None:
    found = share([Stratum(3, [1, 1, 0]), Stratum(1, [0])])
    assert found is not None and found.low == found.high == found.share == 0.5 and found.more is None


def test_agreement_of_all_judgements_is_no_certainty() -> None:
    found = share([Stratum(1000, [1] * 10), Stratum(1000, [1] * 10)])
    assert found is not None and found.share == found.high == 1.0 and 0.75 < found.low < 0.95


def test_so_many_more_judgements_halve_the_interval() -> None:
    """Said for 40 judgements; then drawn."""
    few = share([Stratum(100_000, [1] * 14 + [0] * 6), Stratum(50_000, [1] * 9 + [0] * 11)])
    assert few is not None and few.more is not None and 100 < few.more < 140  # three times as many, nearly
    times = (40 + few.more) // 40
    many = share([Stratum(100_000, ([1] * 14 + [0] * 6) * times), Stratum(50_000, ([1] * 9 + [0] * 11) * times)])
    assert many is not None and (many.high - many.low) / (few.high - few.low) == pytest.approx(0.5, abs=0.03)


def test_intervals_of_precision_hold_the_truth() -> None:
    """Strata of unequal shares and sizes, few judgements each: about 95 of 100 intervals hold."""
    rng = np.random.default_rng(5)
    sizes, shares = [40, 3000, 800, 150], [0.2, 0.6, 0.95, 1.0]
    held = 0
    for _ in range(1000):
        corpus = [rng.random(size) < p for size, p in zip(sizes, shares, strict=True)]
        strata = [Stratum(len(right), rng.choice(right, 15, replace=False).tolist()) for right in corpus]
        found, truth = share(strata), np.concatenate(corpus).mean()
        assert found is not None
        held += found.low <= truth <= found.high
    assert 930 <= held <= 975


def test_intervals_of_recall_hold_the_truth() -> None:
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(1000):
        things = rng.integers(0, 4, 2000)
        found_things = rng.binomial(things, 0.8)
        strata = []
        for rows in (slice(0, 1500), slice(1500, 2000)):
            chosen = rng.choice(np.arange(2000)[rows], 40, replace=False)
            units = list(zip(found_things[chosen].tolist(), things[chosen].tolist(), strict=True))
            strata.append((rows.stop - rows.start, units))
        found = ratio(strata)
        assert found is not None
        held += found.low <= found_things.sum() / things.sum() <= found.high
    assert 930 <= held <= 975


def test_a_ratio_needs_something_to_be_there() -> None:
    assert ratio([(10, [(0, 0), (0, 0)])]) is None and ratio([(10, [])]) is None
    whole = ratio([(2, [(1, 2), (1, 1)])])
    assert whole is not None and whole.low == whole.high == whole.share == pytest.approx(2 / 3)
    sure = ratio([(100, [(1, 1)] * 10)])
    assert sure is not None and sure.share == 1.0 and 0.6 < sure.low < 0.8


def test_kappa_by_hand() -> None:
    """20 units: both right 12, both wrong 4, one right 3, the other right 1; by chance (15*13 + 5*7) / 400."""
    first = ["right"] * 12 + ["wrong"] * 4 + ["right"] * 3 + ["wrong"]
    second = ["right"] * 12 + ["wrong"] * 4 + ["wrong"] * 3 + ["right"]
    chance = (15 * 13 + 5 * 7) / 400
    assert kappa(first, second) == pytest.approx((0.8 - chance) / (1 - chance))
    assert kappa(["right"] * 3, ["right"] * 3) is None and kappa([], []) is None
    assert kappa(["a", "b"], ["b", "a"]) == pytest.approx(-1.0)
