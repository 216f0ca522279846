"""The stage around the rules: rows that line up by key, counts, what is written."""

from __future__ import annotations

import pytest

from schemas.rows import Box, DroppedBox, LabelRow, Pair, PseudoRow
from schemas.tables import LabelTable, PairTable, PseudoTable
from stages.filter.stage import FilterStage
from stages.stage import UserError
from tests.stages.conftest import Run

KEYS = [f"{row:012d}" for row in range(3)]
BOX = Box(0, 0.0, 0.0, 50.0, 50.0, 0.875)


def pairs(*captions: str) -> PairTable:
    return PairTable.of_records(
        [Pair(key, "", text, None, None, None, None, None, None, None) for key, text in zip(KEYS, captions)]
    )


def labels(*keys: str) -> LabelTable:
    return LabelTable.of_records([LabelRow(key, 100, 100, (BOX,), ()) for key in keys])


def test_a_part_is_joined_by_key_and_counted(run: Run) -> None:
    io = run.io()
    io.write("pairs", pairs("", "a dog", "").table)
    io.write("labels", labels(*KEYS[1:]).table)  # label rejected the first pair
    counts = FilterStage(run.config()).run_part(io).counts
    assert (counts.in_, counts.out, counts.rejected) == (2, 2, 0)
    assert PseudoTable.read(io).records() == [
        PseudoRow(KEYS[1], 100, 100, (BOX,), ()),
        PseudoRow(KEYS[2], 100, 100, (), (DroppedBox(0, "caption_length"),)),
    ]
    assert run.rows("rejects/filter") == []


def test_labels_without_their_pair_fail_the_part(run: Run) -> None:
    run.io().write("pairs", pairs("a dog").table)
    run.io().write("labels", labels(*KEYS).table)
    with pytest.raises(ValueError, match=r"pairs lacks 2 keys that it should have, e\.g\. 000000000001"):
        FilterStage(run.config()).run_part(run.io())


def test_a_rule_about_masks_needs_masks(run: Run) -> None:
    rule = {"max_mask_box_gap": 0.5}
    with pytest.raises(UserError, match=r"filter\.max_mask_box_gap needs masks: name a mask\.model"):
        FilterStage.resolve(run.config(filter=rule))
    assert FilterStage.resolve(run.config(filter=rule, mask={"model": "a/model"})) == {}
