"""Figures against plain Python: weighting, relabels, several reviewers, recall, the threshold to choose."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.agreement import MATCH_IOU
from stages.review.figures import Figures, review_figures, suggest
from stages.stage import UserError
from tests.stages.review.sitting import lines, overlap, precision, session_of, surviving, truth


@pytest.fixture
def run(shapes: Callable[..., Any]) -> Any:
    return shapes(part_size=60).fill(150)


def judge_all(run: Any, reviewer: str, wrong: float = 0.0, boxes: int = 200, phrases: int = 0) -> None:
    """By the truth, with a share of mistakes."""
    session, chance = session_of(run, boxes, phrases), random.Random(reviewer)
    for task, unit in enumerate(session.units):
        if unit.corners:
            right = truth(run, unit) != (chance.random() < wrong)
            session.judge({"reviewer": reviewer, "task": task, "verdict": "right" if right else "wrong_box"})


def figures_of(run: Any) -> Figures:
    found = review_figures(run.all_parts(), run.config)
    assert found is not None
    return found


def row_at(figures: Figures, threshold: float) -> Figures:
    found: Figures = next(row for row in figures["by_threshold"] if row["threshold"] == threshold)
    return found


def test_precision_is_weighted_back_to_the_run(run: Any) -> None:
    judge_all(run, "ann")
    figures = figures_of(run)
    right = {
        (line["key"], (line["start"], line["end"]), tuple(line["box"])): float(line["verdict"] == "right")
        for line in lines(run, "ann")
    }
    for threshold in (0.1, 0.25, 0.5, 0.63):
        row = row_at(figures, threshold)
        assert row["precision"] == pytest.approx(precision(run, right, threshold), abs=1e-6)
        assert row["boxes"] == sum(score > threshold for *_, score, _ in surviving(run))
        assert row["low"] < row["precision"] < row["high"]
    assert figures["at_min_score"] == row_at(figures, 0.5)
    assert figures["boxes"] == 200 and sum(figures["verdicts"].values()) == 200
    both = figures["by_frequency_at_min_score"]
    assert both["common"]["boxes"] + both["rare"]["boxes"] == row_at(figures, 0.5)["boxes"]
    assert both["common"]["judged"] + both["rare"]["judged"] == row_at(figures, 0.5)["judged"]


TWO = {"teachers": ["glip-nano", {"name": "other", "teacher": "glip-nano", "score_floor": 0.3}]}


@pytest.fixture
def two(shapes: Callable[..., Any]) -> Any:
    """The second teacher has most of the first one's boxes, of which some are smaller, with scores of its own."""
    run, draw = shapes(part_size=60, label=TWO).fill(150), random.Random(3)

    def seen(box: dict[str, Any]) -> dict[str, Any]:
        share = draw.choice((0.0, 0.1, 0.4))
        smaller = {"x1": box["x1"] + share * (box["x2"] - box["x1"]), "y2": box["y2"] - share * (box["y2"] - box["y1"])}
        other = {**box, **smaller, "score": draw.uniform(0.3, 0.99)}
        return {name: value if name == "phrase" else float(np.float32(value)) for name, value in other.items()}

    for part in run.all_parts().parts():
        rows = [row for row in run.rows["labels"] if int(row["key"][:7]) == part and draw.random() < 0.9]
        made = [{**row, "boxes": [seen(box) for box in row["boxes"] if draw.random() < 0.9]} for row in rows]
        run.write("labels-other", part, made)
    return run


def test_each_of_several_teachers_has_its_precision(two: Any) -> None:
    judge_all(two, "ann", boxes=150)
    said = lines(two, "ann")
    assert {line["teacher"] for line in said} == {two.config.label.teacher, "other"}
    assert {line["labels"] for line in said if line["teacher"] == "other"} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (two.root / "labels-other").iterdir()
    }
    right = {
        (line["key"], (line["start"], line["end"]), tuple(line["box"])): float(line["verdict"] == "right")
        for line in said
    }
    assert len(right) == len(said) > 250  # a box that both have is asked for once
    figures = figures_of(two)
    assert figures["stale"] == 0 and list(figures["by_teacher"]) == ["glip-nano", "other"]
    for name, folder in (("glip-nano", "labels"), ("other", "labels-other")):
        own = figures["by_teacher"][name]
        there = surviving(two, folder)
        assert own["boxes"] == len(right.keys() & {box[:3] for box in there}) >= 150
        for threshold in (0.3, 0.5):
            row = row_at(own, threshold)
            assert row["precision"] == pytest.approx(precision(two, right, threshold, folder), abs=1e-6)
            assert row["boxes"] == sum(score > threshold for *_, score, _ in there)
    assert figures["by_threshold"] == figures["by_teacher"]["glip-nano"]["by_threshold"]
    assert figures["by_teacher"]["other"]["by_threshold"][0]["threshold"] == 0.3  # its own score floor


def test_the_same_phrases_give_the_recall_of_each_teacher(two: Any) -> None:
    session = session_of(two, 0, 10_000)
    gold = {row["key"]: row for row in two.rows["gold"]}
    things: dict[tuple[str, tuple[int, int]], list[dict[str, float]]] = {}
    for task, unit in enumerate(session.units):
        spans = [(span["start"], span["end"]) for span in gold[unit.key]["spans"]]
        own = [box for box in gold[unit.key]["boxes"] if spans[box["span"]] == unit.span]
        things[unit.key, unit.span] = own
        boxes = [[box[side] for side in ("x1", "y1", "x2", "y2")] for box in own]
        session.judge({"reviewer": "ann", "task": task, "verdict": "there" if boxes else "absent", "boxes": boxes})
    found = total = 0
    labelled = {row["key"] for row in two.rows["labels-other"]}
    for (key, span), own in things.items():
        if key in labelled:
            boxes = [c for k, s, c, score, _ in surviving(two, "labels-other") if (k, s) == (key, span) and score > 0.5]
            total += len(own)
            found += sum(
                any(overlap(thing, dict(zip(("x1", "y1", "x2", "y2"), box))) >= MATCH_IOU for box in boxes)
                for thing in own
            )
    row = figures_of(two)["by_teacher"]["other"]["recall_at_min_score"]
    assert row["recall"] == pytest.approx(found / total, abs=1e-6) and row["things"] == total > 100


def test_teachers_that_have_not_labelled_yet_are_not_asked_about(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=60, label=TWO).fill(60)
    judge_all(run, "ann", boxes=30)
    assert "by_teacher" not in figures_of(run) and {line["teacher"] for line in lines(run, "ann")} == {"auto"}


def test_unsure_counts_neither_way(run: Any) -> None:
    session = session_of(run, 40, 0)
    for task, verdict in enumerate(("right", "unsure", "wrong_phrase", "unsure")):
        session.judge({"reviewer": "ann", "task": task, "verdict": verdict})
    figures = figures_of(run)
    assert figures["boxes"] == 2 and figures["verdicts"]["unsure"] == 2 and figures["verdicts"]["wrong_phrase"] == 1


def test_after_a_relabel_boxes_that_have_not_changed_count(run: Any) -> None:
    judge_all(run, "ann", boxes=100)
    judged = {(line["key"], tuple(line["box"])) for line in lines(run, "ann")}
    rows, run.rows["labels"] = run.rows["labels"], []
    changed = 0
    for part in run.all_parts().parts():
        own = [row for row in rows if int(row["key"][:7]) == part]
        for row in own[::3]:
            for box in row["boxes"]:
                changed += (row["key"], tuple(box[side] for side in ("x1", "y1", "x2", "y2"))) in judged
                box["y1"] = box["y1"] / 2 + 0.125
        run.write("labels", part, own)
    figures = figures_of(run)
    assert changed > 10
    there = {(key, corners) for key, _, corners, *_ in surviving(run)}
    assert figures["boxes"] == len(judged & there) and figures["stale"] == 100 - figures["boxes"] >= changed


def test_two_reviewers_agree_as_far_as_they_do(run: Any) -> None:
    judge_all(run, "ann", boxes=80)
    judge_all(run, "bob", wrong=0.2, boxes=60)
    figures = figures_of(run)
    said = [
        {(line["key"], line["start"], tuple(line["box"])): line["verdict"] for line in lines(run, name)}
        for name in ("ann", "bob")
    ]
    both = [(verdict, said[1][box]) for box, verdict in said[0].items() if box in said[1]]
    same = sum(a == b for a, b in both) / len(both)
    shares = [sum(pair[i] == "right" for pair in both) / len(both) for i in (0, 1)]
    chance = shares[0] * shares[1] + (1 - shares[0]) * (1 - shares[1])
    (pair,) = figures["agreement"]
    assert pair["reviewers"] == ["ann", "bob"] and pair["both"] == len(both) > 40
    assert pair["agree"] == pytest.approx(same, abs=1e-6) and same < 1
    assert pair["kappa"] == pytest.approx((same - chance) / (1 - chance), abs=1e-6)
    assert figures["reviewers"] == {"ann": 80, "bob": 60} and figures["boxes"] == len({*said[0], *said[1]})


def test_recall_is_what_is_found_of_what_is_there(run: Any) -> None:
    """All phrases are judged by the truth, so that recall is that of the run, exactly."""
    session = session_of(run, 0, 10_000)
    gold = {row["key"]: row for row in run.rows["gold"]}
    for task, unit in enumerate(session.units):
        spans = [(span["start"], span["end"]) for span in gold[unit.key]["spans"]]
        things = [box for box in gold[unit.key]["boxes"] if spans[box["span"]] == unit.span]
        boxes = [[box[side] for side in ("x1", "y1", "x2", "y2")] for box in things]
        session.judge({"reviewer": "ann", "task": task, "verdict": "there" if boxes else "absent", "boxes": boxes})
    figures = figures_of(run)
    asked = {(unit.key, unit.span) for unit in session.units}
    total, found = 0, 0
    for row in run.rows["gold"]:
        for thing in row["boxes"] if row["spans"] else ():
            span = row["spans"][thing["span"]]["start"], row["spans"][thing["span"]]["end"]
            if (row["key"], span) in asked:
                total += 1
                own = [c for key, s, c, score, _ in surviving(run) if (key, s) == (row["key"], span) and score > 0.5]
                boxes = [dict(zip(("x1", "y1", "x2", "y2"), corners)) for corners in own]
                found += any(overlap(thing, box) >= MATCH_IOU for box in boxes)
    row = figures["recall_at_min_score"]
    assert row["recall"] == row["low"] == row["high"] == pytest.approx(found / total, abs=1e-6)
    assert row["things"] == total > 100 and 0.3 < row["recall"] < 1
    visible = figures["phrase_verdicts"]["there"] / len(asked)
    assert figures["visible"]["share"] == pytest.approx(visible, abs=1e-6)


def test_the_lowest_threshold_that_is_surely_precise(run: Any) -> None:
    judge_all(run, "ann")
    figures = figures_of(run)
    row = suggest(figures, 0.6)
    assert row["low"] > 0.6 and row["threshold"] > 0.1
    assert max(other["low"] for other in figures["by_threshold"] if other["threshold"] < row["threshold"]) <= 0.6
    with pytest.raises(UserError, match=r"no threshold is that sure; the best is 0\.\d+"):
        suggest(figures, 0.999)
    with pytest.raises(UserError, match="nothing is judged yet"):
        suggest(None, 0.9)


def test_without_judgements_there_are_no_figures(run: Any) -> None:
    assert review_figures(run.all_parts(), run.config) is None
