"""From pairs and phrases to what the teacher needs, and from its results to labels."""

from __future__ import annotations

import pytest
import torch

from model.outputs import Grounding
from schemas.records import LABELS
from schemas.rows import Box, DroppedPhrase, ImageRef, LabelRow, Pair, Phrase, PhraseRow
from schemas.tables import PairTable, PhraseTable
from stages.label.rows import Row, label_table, read_rows
from tests.stages.conftest import Run

KEYS = [f"{row:012d}" for row in range(4)]
PLACE = ImageRef("images/part-0000000.tar", 512, 99)


def phrase(start: int, end: int) -> Phrase:
    return Phrase(start, end, "x", "x", "x")


def row(key: str, width: int = 64, height: int = 48) -> Row:
    return Row(key, f"source {key}", "a dog", [[(0, 5)]], PLACE, (height, width), "ab")


def found(*boxes: tuple[int, float]) -> Grounding:
    """Boxes of (phrase, score), told apart by their left side."""
    corners = torch.tensor([[float(i), 0.0, 40.5, 40.25] for i in range(len(boxes))]).reshape(-1, 4)
    phrases = torch.tensor([number for number, _ in boxes], dtype=torch.long)
    return Grounding(corners, torch.tensor([score for _, score in boxes]), phrases)


def test_rows_are_those_of_phrases_with_their_pairs(run: Run) -> None:
    pairs = [
        Pair(KEYS[0], "s0", "a dog and a cat", PLACE, 64, 48, 1, "ab", None, None),
        Pair(KEYS[1], "s1", "not asked", PLACE, 8, 9, 1, "cd", None, None),
        Pair(KEYS[2], "s2", "no image", None, None, None, None, None, None, None),
    ]
    phrases = [
        PhraseRow(KEYS[0], "a dog and a cat", (phrase(0, 5), phrase(10, 15)), ()),
        PhraseRow(KEYS[2], "no image", (), ()),
    ]
    run.io().write("pairs", PairTable.of_records(pairs).table)
    run.io().write("phrases", PhraseTable.of_records(phrases).table)
    first, last = read_rows(run.io())
    assert first == Row(KEYS[0], "s0", "a dog and a cat", [[(0, 5)], [(10, 15)]], PLACE, (48, 64), "ab")
    assert (last.key, last.spans, last.image, last.sha256) == (KEYS[2], [], None, None)


def test_boxes_stand_by_phrase_then_by_score_then_as_they_were_found() -> None:
    result = found((1, 0.5), (0, 0.25), (1, 0.75), (0, 0.25), (0, 0.5))
    (labelled,) = label_table([row(KEYS[0])], {0: result}).records()
    order = [4, 1, 3, 2, 0]
    phrases, scores = [0, 0, 0, 1, 1], [0.5, 0.25, 0.25, 0.75, 0.5]
    assert labelled == LabelRow(
        KEYS[0], 64, 48, tuple(Box(p, float(i), 0.0, 40.5, 40.25, s) for i, p, s in zip(order, phrases, scores)), ()
    )


def test_rows_come_in_their_order_whatever_came_first() -> None:
    """And a row that was rejected is not there."""
    rows = [row(KEYS[0]), row(KEYS[1], 10, 20), row(KEYS[2]), row(KEYS[3])]
    results = {3: found((0, 0.5)), 0: Grounding.empty([(2, "over_token_limit"), (0, "no_image")]), 1: found()}
    labelled = label_table(rows, results).records()
    assert [(one.key, one.width, one.height) for one in labelled] == [
        (KEYS[0], 64, 48), (KEYS[1], 10, 20), (KEYS[3], 64, 48),
    ]  # fmt: skip
    assert [len(one.boxes) for one in labelled] == [0, 0, 1]
    assert labelled[0].dropped == (DroppedPhrase(2, "over_token_limit"), DroppedPhrase(0, "no_image"))


@pytest.mark.parametrize("rows", [[], [row(KEYS[0])]])
def test_nothing_labelled_is_a_table_too(rows: list[Row]) -> None:
    table = label_table(rows, {}).table
    assert (table.num_rows, table.schema) == (0, LABELS)
