"""The stage around the rules: rows that line up by key, counts, what is written."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.rows import Box, BoxScore, DroppedBox, LabelRow, Pair, PseudoRow, ScoreRow
from schemas.tables import LabelTable, PairTable, PseudoTable, ScoreTable
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


def test_scores_are_read_where_they_are_there(run: Run) -> None:
    run.io().write("pairs", pairs("a dog", "a dog").table)
    run.io().write("labels", labels(*KEYS[:2]).table)
    rows = [ScoreRow(key, 0.25, (BoxScore(score, None, None),)) for key, score in zip(KEYS, (0.3, 0.1))]
    run.io().write("scores", ScoreTable.of_records(rows).table)
    FilterStage(run.config(filter={"min_region_score": 0.2})).run_part(run.io())
    assert [len(row["boxes"]) for row in run.rows("pseudo")] == [1, 0]
    assert run.rows("pseudo")[1]["dropped"] == [{"box": 0, "reason": "low_region_score"}]


@pytest.mark.parametrize("rule", [{"min_region_score": 0.2}, {"min_image_score": 0.2}, {"combine": "geometric"}])
def test_a_rule_without_the_scores_that_it_needs_is_an_error(run: Run, rule: dict[str, Any]) -> None:
    (name,) = rule
    problem = rf"filter\.{name}: needs the scores of rescore, which is off; name a model in rescore\.model"
    with pytest.raises(UserError, match=problem) as error:
        FilterStage.resolve(run.config(filter=rule))
    assert "\n" not in str(error.value)
    assert FilterStage.resolve(run.config(filter=rule, rescore={"model": "a/folder"})) == {}
    run.io().write("pairs", pairs("a dog").table)
    run.io().write("labels", labels(KEYS[0]).table)
    with pytest.raises(UserError, match=problem):
        FilterStage(run.config(filter=rule)).run_part(run.io())


def test_relabelling_needs_the_best_phrases(run: Run) -> None:
    rules = {"filter": {"relabel": True}, "rescore": {"model": "a/folder"}}
    with pytest.raises(UserError, match=r"filter\.relabel: rescore\.relabel is off"):
        FilterStage.resolve(run.config(**rules))
    rules["rescore"] |= {"relabel": True}
    assert FilterStage.resolve(run.config(**rules)) == {}
