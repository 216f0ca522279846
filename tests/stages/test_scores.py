"""Cosines of what leaves the run, beside a walk over the rows."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from schemas.rows import Box, BoxScore, DroppedBox, LabelRow, PseudoRow, ScoreRow
from schemas.tables import LabelTable, PseudoTable, ScoreTable
from stages.scores import image_score, of_kept, of_labelled, region_score

PHRASES = 3


def drawn(rows: int, seed: int) -> tuple[list[LabelRow], list[PseudoRow], list[ScoreRow]]:
    """Rows of which every fourth has no scores; a third of the boxes goes, others go to the phrase that fits best."""
    draw = random.Random(seed)
    labels, pseudo, scores = [], [], []
    for number in range(rows):
        key = f"{number:012d}"
        boxes = [Box(draw.randrange(PHRASES), 0.0, 0.0, 9.0, 9.0, draw.random()) for _ in range(draw.randrange(6))]
        seen = [
            BoxScore(draw.uniform(-0.1, 0.3), draw.randrange(PHRASES), draw.uniform(0.3, 0.4))
            if draw.random() < 0.8
            else BoxScore(None, None, None)
            for _ in boxes
        ]
        gone = [i for i in range(len(boxes)) if draw.random() < 0.3]
        kept = [
            Box(score.best_phrase if score.best_phrase is not None else box.phrase, *box.corners, box.score)
            for i, (box, score) in enumerate(zip(boxes, seen, strict=True))
            if i not in gone
        ]
        draw.shuffle(gone)
        labels.append(LabelRow(key, 20, 20, tuple(boxes), ()))
        pseudo.append(PseudoRow(key, 20, 20, tuple(kept), tuple(DroppedBox(i, "nms") for i in gone)))
        if number % 4:
            scores.append(ScoreRow(key, draw.uniform(0, 0.4), tuple(seen)))
    return labels, pseudo, scores


def expected_of(box: Box, score: BoxScore) -> float | None:
    return score.best_score if score.best_phrase == box.phrase else score.score


def same(found: np.ndarray, expected: list[float | None]) -> None:
    wanted = np.array([math.nan if value is None else np.float32(value) for value in expected])
    np.testing.assert_array_equal(found, wanted)
    assert np.isnan(wanted).any() and not np.isnan(wanted).all()


def test_each_box_has_the_cosine_of_its_crop_with_its_phrase() -> None:
    labels, pseudo, scores = drawn(40, 1)
    seen = {row.key: row for row in scores}
    nothing = [BoxScore(None, None, None)] * 9
    kept, labelled = [], []
    for before, after in zip(labels, pseudo, strict=True):
        own = seen[before.key].boxes if before.key in seen else nothing
        gone = {entry.box for entry in after.dropped}
        left = [i for i in range(len(before.boxes)) if i not in gone]
        kept += [expected_of(box, own[i]) for i, box in zip(left, after.boxes, strict=True)]
        labelled += [expected_of(box, score) for box, score in zip(before.boxes, own, strict=False)]
    table = ScoreTable.of_records(scores)
    found = of_kept(PseudoTable.of_records(pseudo), table)
    same(found.region, kept)
    same(found.image, [seen[row.key].image if row.key in seen else None for row in labels])
    same(of_labelled(LabelTable.of_records(labels), table).region, labelled)
    flags = np.arange(len(kept)) % 2 == 0
    np.testing.assert_array_equal(found.keep(flags).region, found.region[flags])


def test_without_scores_there_are_none() -> None:
    labels, pseudo, _ = drawn(5, 2)
    assert np.isnan(of_kept(PseudoTable.of_records(pseudo), None).region).all()
    found = of_labelled(LabelTable.of_records(labels), None)
    assert np.isnan(found.image).all() and len(found.region) == sum(len(row.boxes) for row in labels) > 0


def test_scores_of_other_boxes_are_an_error() -> None:
    labels, pseudo, scores = drawn(9, 3)
    (full, *_) = (row for row in scores if row.boxes)
    damaged: list[Any] = [ScoreRow(row.key, row.image, row.boxes[1:] if row is full else row.boxes) for row in scores]
    table = ScoreTable.of_records(damaged)
    with pytest.raises(ValueError, match="run `phrasebox rescore` again"):
        of_kept(PseudoTable.of_records(pseudo), table)
    with pytest.raises(ValueError, match="run `phrasebox rescore` again"):
        of_labelled(LabelTable.of_records(labels), table)


def test_json_says_nothing_of_what_nobody_was_asked() -> None:
    assert region_score(0.25) == {"region_score": 0.25} and image_score(-0.5) == {"image_score": -0.5}
    assert region_score(math.nan) == image_score(math.nan) == region_score(None) == image_score(None) == {}
