"""What teachers agree on, by cases and against every pair of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas.config import Config, FilterConfig
from schemas.rows import Box, DroppedPhrase, LabelRow, Pair
from schemas.tables import LabelTable, PairTable
from stages.filter.agreement import beside
from stages.filter.rules import filter_labels
from stages.filter.stage import FilterStage
from stages.stage import Input, UserError
from tests.stages.conftest import Run

Found = tuple[int, tuple[float, float, float, float], float]  # phrase, corners, score
A, HALF_A, B = (0.0, 0.0, 40.0, 40.0), (0.0, 0.0, 40.0, 20.0), (50.0, 50.0, 90.0, 90.0)  # IoU of the first two: 0.5


def table(rows: dict[int, Sequence[Found]]) -> LabelTable:
    return LabelTable.of_records(
        [
            LabelRow(
                f"{row:012d}", 100, 100, tuple(Box(phrase, *corners, score) for phrase, corners, score in boxes), ()
            )
            for row, boxes in rows.items()
        ]
    )


def reasons(mine: dict[int, Sequence[Found]], others: Sequence[dict[int, Sequence[Found]]], **rules: Any) -> list[Any]:
    labels = table(mine)
    settings = FilterConfig(**{"min_score": 0.25, "nms_iou": 1.0, **rules})
    rows = filter_labels(labels, np.full(len(labels), 20), settings, None, [table(other) for other in others]).records()
    return [{entry.box: entry.reason for entry in row.dropped} for row in rows]


def test_a_box_stays_where_another_teacher_has_one_of_its_phrase() -> None:
    mine = {0: [(0, A, 0.5), (1, B, 0.5), (1, A, 0.2)], 1: [(0, A, 0.5)], 3: [(0, B, 0.5)]}
    other = {0: [(0, HALF_A, 0.125), (0, B, 0.9)], 2: [(0, A, 0.9)], 3: [(0, B, 0.5)]}  # rejected 1, and has a row more
    assert reasons(mine, [other], agree=2) == [{1: "not_agreed", 2: "low_score"}, {0: "not_agreed"}, {}]
    assert reasons(mine, [other], agree=2, agree_iou=0.51)[0][0] == "not_agreed"
    assert reasons(mine, [other], agree=2, agree_min_score=0.125)[0][0] == "not_agreed"
    assert reasons(mine, [other])[1] == {}  # off by default


def test_three_may_have_to_agree() -> None:
    mine = {0: [(0, A, 0.5), (1, B, 0.5)]}
    one, two = {0: [(0, A, 0.5), (1, B, 0.5)]}, {0: [(1, B, 0.5), (1, B, 0.4)]}
    assert reasons(mine, [one, two], agree=3) == [{0: "not_agreed"}]  # two boxes of one teacher are one voice
    assert reasons(mine, [one, two], agree=2) == [{}]
    assert reasons(mine, [{}, {}], agree=2) == [{0: "not_agreed", 1: "not_agreed"}]


def test_who_was_not_asked_for_a_phrase_has_no_voice(run: Run) -> None:
    """Of two others, one cannot read the phrase; what the second says of it counts alone."""
    io = run.io()
    io.write("pairs", PairTable.of_records([Pair("0" * 12, "", "a dog", *[None] * 7)]).table)
    mine = {0: [(0, A, 0.9), (1, B, 0.9)]}
    io.write("labels", table(mine).table)
    (row,) = table({0: [(1, B, 0.9)]}).records()
    unread = replace(row, dropped=(DroppedPhrase(0, "phrase_over_token_limit"),))
    io.write("labels-one", LabelTable.of_records([unread]).table)
    io.write("labels-two", table(mine).table)
    teachers = ["glip-photos", *({"teacher": "glip-nano", "name": name} for name in ("one", "two"))]
    for agree, out in ((2, []), (3, [{"box": 0, "reason": "not_agreed"}])):
        FilterStage(run.config(label={"teachers": teachers}, filter={"agree": agree})).run_part(io)
        assert run.rows("pseudo")[0]["dropped"] == out


def test_a_box_that_nobody_else_has_suppresses_none() -> None:
    lower = (2.0, 0.0, 42.0, 40.0)
    mine = {0: [(0, A, 0.9), (0, lower, 0.5)]}
    other = {0: [(0, (4.0, 0.0, 44.0, 40.0), 0.5)]}
    found = reasons(mine, [other], agree=2, agree_iou=0.85, nms_iou=0.6)
    assert found == [{0: "not_agreed"}]


def test_every_pair_of_boxes_counts() -> None:
    draw = np.random.default_rng(3)

    def some() -> list[Found]:
        return [
            (int(draw.integers(0, 3)), (float(x), float(y), float(x + side), float(y + side)), 0.5)
            for x, y, side in draw.integers((0, 0, 20), (30, 30, 50), (draw.integers(0, 9), 3))
        ]

    mine = {row: some() for row in range(0, 40) if row % 7}
    other = {row: some() for row in range(0, 40) if row % 5}
    found, kept = reasons(mine, [other], agree=2, agree_iou=0.6), 0
    for own, row in zip(found, mine, strict=True):
        for number, (phrase, corners, _) in enumerate(mine[row]):
            agreed = any(p == phrase and overlap(corners, c) >= 0.6 for p, c, _ in other.get(row, []))
            assert (number in own) is not agreed
            kept += agreed
    assert 10 < kept < sum(map(len, mine.values()))


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(width, 0.0) * max(height, 0.0)
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def test_rows_line_up_by_their_keys() -> None:
    found = beside(
        table({1: [], 4: [], 9: []}), table({0: [(0, A, 0.5)], 4: [(1, B, 0.5), (2, A, 0.5)], 9: [(3, A, 0.5)]})
    )
    assert found.lengths.tolist() == [0, 2, 1] and found.phrase.tolist() == [1, 2, 3]


def config(agree: int, **label: Any) -> Config:
    return Config.model_validate({"filter": {"agree": agree}, "label": label})


def test_the_stage_reads_the_labels_of_all_teachers(run: Run) -> None:
    io = run.io()
    io.write("pairs", PairTable.of_records([Pair("0" * 12, "", "a dog", *[None] * 7)]).table)
    io.write("labels", table({0: [(0, A, 0.9), (1, B, 0.9)]}).table)
    io.write("labels-small", table({0: [(0, A, 0.2)]}).table)
    teachers = ["glip-photos", {"teacher": "glip-nano", "name": "small"}]
    FilterStage(run.config(label={"teachers": teachers}, filter={"agree": 2})).run_part(io)
    (row,) = run.rows("pseudo")
    assert row["dropped"] == [{"box": 1, "reason": "not_agreed"}] and len(row["boxes"]) == 1


def test_it_depends_on_them_only_where_they_are_heard() -> None:
    other = Input("labels-small", ("key", "boxes"), need="if_enabled")
    assert FilterStage.reads(config(2), other) and not FilterStage.reads(config(1), other)
    assert not FilterStage.reads(config(2), Input("scores"))
    scored = Config.model_validate({"filter": {"min_region_score": 0.1}})
    assert FilterStage.reads(scored, Input("scores")) and FilterStage.reads(scored, Input("labels"))


def test_more_teachers_than_there_are_cannot_agree() -> None:
    with pytest.raises(UserError, match=r"filter\.agree: 2 teachers cannot agree, label\.teachers has 1"):
        FilterStage.resolve(config(2))
    with pytest.raises(UserError, match=r"3 teachers cannot agree, label\.teachers has 2"):
        FilterStage.resolve(config(3, teachers=["glip-nano", "glip-t"]))
    assert FilterStage.resolve(config(2, teachers=["glip-nano", "glip-t"])) == {}
