"""What is asked about each row, and where the answers stand in the table."""

from __future__ import annotations

import numpy as np

from schemas.rows import Box, BoxScore, ImageRef, LabelRow, ScoreRow
from schemas.tables import LabelTable
from stages.rescore.rows import Row, RowScores, score_table

BOXES = tuple(Box(i % 2, 0.0, 0.0, 9.0, 9.0, score) for i, score in enumerate((0.5, 0.05, 0.25)))
LABELS = LabelTable.of_records([LabelRow(f"{i:012d}", 10, 10, BOXES[: 3 - i], ()) for i in range(4)])


def row(number: int, phrase: tuple[int, ...]) -> Row:
    texts = ["a dog", "a cat", "grass"]
    boxes = [(0.0, 0.0, 9.0, 9.0)] * len(phrase)
    index = np.asarray(phrase, np.int64)
    return Row(f"{number:012d}", "", "a dog, a cat, grass", texts, ImageRef(""), (10, 10), "", boxes, index)


def test_an_image_is_compared_with_what_its_boxes_name_or_with_all_phrases() -> None:
    assert row(0, (1, 1)).texts(relabel=False) == ["a dog, a cat, grass", "a cat", "a cat"]
    assert row(0, (1,)).texts(relabel=True) == ["a dog, a cat, grass", "a dog", "a cat", "grass"]
    assert row(0, ()).texts(relabel=True) == ["a dog, a cat, grass"]  # no crop asks for a phrase


def test_scores_stand_beside_the_boxes_of_their_labels() -> None:
    """The first row has the candidates 0 and 2, the second was rejected, the third has one, the last has no box."""
    candidate = LABELS.boxes.score >= 0.1
    first = RowScores(0.25, np.float32([0.5, -0.25]), np.int32([2, 0]), np.float32([0.75, 0.125]))
    third = RowScores(-0.5, np.float32([0.25]), np.int32([-1]), np.float32([np.nan]))
    last = RowScores(0.0, np.float32([]), np.int32([]), np.float32([]))
    rows = [row(i, phrase) for i, phrase in enumerate(((0, 0), (0,), (0,), ()))]
    table = score_table(rows, {3: last, 0: first, 2: third}, LABELS, candidate)
    nothing = BoxScore(None, None, None)
    assert table.records() == [
        ScoreRow("000000000000", 0.25, (BoxScore(0.5, 2, 0.75), nothing, BoxScore(-0.25, 0, 0.125))),
        ScoreRow("000000000002", -0.5, (BoxScore(0.25, None, None),)),
        ScoreRow("000000000003", 0.0, ()),
    ]
    boxes = table.boxes  # as the filter sees them
    assert np.array_equal(boxes.score, [0.5, np.nan, -0.25, 0.25], equal_nan=True)
    assert boxes.best_phrase.tolist() == [2, -1, 0, -1]


def test_a_part_without_a_scored_row_has_an_empty_table() -> None:
    table = score_table([row(0, (0,))], {}, LABELS, LABELS.boxes.score >= 0.1)
    assert len(table) == 0 and table.table.column_names == ["key", "image", "boxes"]


def test_what_is_not_finite_is_no_score() -> None:
    own = np.float32([0.5, np.nan])
    assert not RowScores(0.5, own, np.int32([-1, -1]), own).finite
    assert not RowScores(float("nan"), own[:1], np.int32([-1]), own[:1]).finite
    assert RowScores(0.5, own[:1], np.int32([-1]), own[1:]).finite  # nobody asked for the best phrase
