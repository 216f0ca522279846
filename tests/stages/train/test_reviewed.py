"""Judgements become true boxes, known negatives, and nothing that nobody said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stages.review.journal import Judgement
from stages.stage import UserError
from stages.train.gold import open_gold, with_absolute_paths
from stages.train.reviewed import ReviewSet, known_boxes
from stages.train.samples import WRONG
from stages.train.stage import TrainStage
from stages.train.targets import loss_target
from stages.train.transforms import decode
from tests.stages.review.sitting import session_of, truth

A = Judgement(
    **{"reviewer": "ann", "kind": "box", "key": "000000000001", "start": 2, "end": 7, "text": "a dog"},
    **{"box": (1.0, 2.0, 30.0, 40.0), "verdict": "right", "labels": "ab", "teacher": "glip-nano", "time": "now"},
)
SPAN = (2, 7)


def test_right_boxes_are_true_and_wrong_ones_known_negatives() -> None:
    moved = replace(A, box=(5.0, 5.0, 9.0, 9.0), corrected=(6.0, 5.0, 9.5, 9.0))
    wrong = replace(A, box=(50.0, 2.0, 90.0, 40.0), verdict="wrong_phrase")
    unsure = replace(A, key="000000000002", verdict="unsure")
    found = known_boxes([A, moved, wrong, unsure])
    assert list(found) == [A.key]
    assert found[A.key].right == [(SPAN, A.box), (SPAN, moved.corrected)]
    assert found[A.key].wrong == [(SPAN, wrong.box)] and found[A.key].whole == []


def test_a_phrase_that_was_looked_for_is_known_everywhere() -> None:
    there = replace(A, kind="phrase", box=None, verdict="there", boxes=((1.0, 1.0, 5.0, 5.0), (7.0, 1.0, 9.0, 5.0)))
    absent = replace(there, start=10, end=15, verdict="absent", boxes=())
    judged = known_boxes([there, absent])[A.key]
    assert judged.right == [(SPAN, box) for box in there.boxes] and judged.whole == [SPAN, (10, 15)]
    assert judged.spans == [SPAN, (10, 15)] and judged.wrong == []


def test_the_majority_decides() -> None:
    others = [replace(A, reviewer=name, verdict=verdict) for name, verdict in (("bob", "wrong_box"), ("cy", "right"))]
    assert known_boxes([A, others[0]]) == {}
    assert known_boxes([A, *others])[A.key].right == [(SPAN, A.box)]
    assert known_boxes([replace(A, verdict="wrong_box"), *others])[A.key].wrong == [(SPAN, A.box)]


@pytest.fixture
def run(shapes: Callable[..., Any]) -> Any:
    run = shapes(part_size=40, train={"gold": [{"source": "reviews"}]}).fill(80)
    session = session_of(run, 60, 4)
    for task, unit in enumerate(session.units[:60]):
        session.judge({"reviewer": "ann", "task": task, "verdict": "right" if truth(run, unit) else "wrong_box"})
    session.judge({"reviewer": "ann", "task": 60, "verdict": "absent"})
    return run


def test_the_set_has_the_judged_pairs(run: Any) -> None:
    gold = with_absolute_paths(run.config.train.gold[0])
    assert gold.source == "reviews"
    samples = open_gold(run.all_parts(), gold)
    assert isinstance(samples, ReviewSet) and len(samples) > 20
    captions = {row["key"]: row["caption"] for row in run.rows["pairs"]}
    right, wrong = 0, 0
    for index, (pair, judged) in enumerate(samples.rows):
        if pair.image is None:
            continue
        sample = samples.sample(index)
        assert sample.caption == captions[sample.key] and sample.partial and not sample.pseudo
        negative = sample.scores == WRONG
        right, wrong = right + int((~negative).sum()), wrong + int(negative.sum())
        assert negative.sum() == len(judged.wrong) + len(judged.whole)
        assert all([0, 0, 320, 240] in sample.boxes[negative].tolist() for _ in judged.whole)
        example = decode(sample, 10**6, (None, None), mirrored=True)
        target = loss_target(example, run.config.train)
        assert len(target["boxes"]) == (~negative).sum() and len(target["known"]["boxes"]) == len(sample.boxes)
    assert right > 5 and wrong > 5


def test_training_depends_on_reviews_where_they_are_trained_on(run: Any, shapes: Callable[..., Any]) -> None:
    assert TrainStage.written_by_people(run.config) == ("reviews",)
    assert TrainStage.written_by_people(shapes().config) == ()


def test_without_judgements_the_set_is_empty(shapes: Callable[..., Any]) -> None:
    run = shapes(train={"gold": [{"source": "reviews"}], "pseudo": False}).fill(20)
    assert len(ReviewSet(run.all_parts())) == 0
    from stages.train.stage import open_sets

    with pytest.raises(UserError, match="reviews holds no image with a box"):
        open_sets(run.all_parts(), run.config)
