"""Tables of phrases: the rows of the highest measure, ties in the order of the alphabet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stages.audit.phrase_tables import LISTED, highest
from stages.audit.terms import Totals


def totals(texts: list[str], **columns: list[int]) -> Totals:
    arrays = {name: np.array(values) for name, values in columns.items()}
    return Totals({"hash": np.arange(len(texts)), **arrays}, pa.chunked_array([texts]), 1 << 64, 0)


def test_the_highest_come_first_and_ties_in_the_order_of_the_alphabet() -> None:
    found = totals(["cow", "ape", "bee", "dog"], seen=[2, 2, 5, 9])
    rows = highest(found, found.columns["seen"], np.array([True, True, True, False]), ("seen",))
    assert rows == [{"phrase": "bee", "seen": 5}, {"phrase": "ape", "seen": 2}, {"phrase": "cow", "seen": 2}]
    shares = np.array([0.5, -0.25, 0.0, 0.5])
    assert [row["phrase"] for row in highest(found, shares, shares <= 0.5, ())] == ["cow", "dog", "bee", "ape"]


def test_no_more_than_are_listed() -> None:
    texts = [f"thing {number:03d}" for number in range(3 * LISTED)]
    found = totals(texts, seen=[1] * (2 * LISTED) + [2] * LISTED)
    rows = highest(found, found.columns["seen"], np.ones(len(texts), bool), ("seen",))
    assert [row["phrase"] for row in rows] == texts[2 * LISTED :]
    few = highest(found, found.columns["seen"], found.columns["seen"] == 1, ("seen",))
    assert [row["phrase"] for row in few] == texts[:LISTED]


def test_nothing_to_list() -> None:
    assert highest(totals([], seen=[]), np.zeros(0), np.zeros(0, bool), ("seen",)) == []
