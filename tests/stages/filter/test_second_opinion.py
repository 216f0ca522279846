"""What scores change in the filter: each rule by cases; YOLO-World's recipe by hand, and in its own order of steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.run.config import load_config
from schemas.config import FilterConfig
from schemas.rows import Box, BoxScore, LabelRow, ScoreRow
from schemas.tables import LabelTable, ScoreTable
from stages.filter.rules import filter_labels
from stages.filter.second_opinion import geometric, needs_scores

ROOT = Path(__file__).resolve().parents[3]
RECIPE = load_config(str(ROOT / "configs/yolo_world.yaml"), [], None).filter
A, NEAR_A, B, NEAR_B, C, D = (
    *((0, 0, 40, 40), (0, 0, 40, 36)),  # IoU 0.9
    *((50, 50, 90, 90), (50, 50, 90, 86)),
    *((0, 60, 30, 90), (60, 0, 90, 30)),
)
Seen = tuple[int, tuple[int, int, int, int], float, float, int, float]  # phrase, corners, c, s, best phrase, its s
BOXES: list[Seen] = [
    (0, A, 0.64, 0.25, 0, 0.25),  # sqrt(0.64 * 0.25) = 0.4
    (0, NEAR_A, 0.81, 0.16, 0, 0.16),  # 0.36: the teacher is surer of it, both together are not
    (1, B, 0.49, 0.16, 0, 0.36),  # shows the first phrase: sqrt(0.49 * 0.36) = 0.42
    (2, C, 0.25, 0.25, 2, 0.25),  # 0.25
    (1, NEAR_B, 0.5, 0.2, 1, 0.2),  # sqrt(0.1) = 0.316, of another phrase than B now
    (2, D, 0.09, math.nan, -1, math.nan),  # no candidate
]


def tables(images: Sequence[tuple[float, Sequence[Seen]]]) -> tuple[LabelTable, ScoreTable]:
    """Images by their cosine and their boxes."""
    labels = [
        LabelRow(f"{row:012d}", 100, 100, tuple(Box(phrase, *corners, c) for phrase, corners, c, *_ in boxes), ())
        for row, (_, boxes) in enumerate(images)
    ]
    scores = [
        ScoreRow(f"{row:012d}", image, tuple(_score(*seen[3:]) for seen in boxes))
        for row, (image, boxes) in enumerate(images)
    ]
    return LabelTable.of_records(labels), ScoreTable.of_records(scores)


def _score(own: float, best_phrase: int, best: float) -> BoxScore:
    return BoxScore(None, None, None) if math.isnan(own) else BoxScore(own, best_phrase, best)


def apply(images: Sequence[tuple[float, Sequence[Seen]]], rules: FilterConfig) -> list[dict[str, Any]]:
    labels, scores = tables(images)
    return filter_labels(labels, np.full(len(labels), 20), rules, scores).table.to_pylist()


def dropped(row: dict[str, Any]) -> dict[int, str]:
    return {entry["box"]: entry["reason"] for entry in row["dropped"]}


def test_the_recipe_of_yolo_world_by_hand() -> None:
    """Regions 0, 2 and 4 are left, with a mean of (0.25 + 0.36 + 0.2) / 3 = 0.27. The first image has
    sqrt(0.36 * 0.27) = 0.312, the second sqrt(0.3 * 0.27) = 0.285."""
    first, second = apply([(0.36, BOXES), (0.3, BOXES)], RECIPE)
    found = [(box["phrase"], round(box["score"], 3)) for box in first["boxes"]]
    assert found == [(0, 0.4), (0, 0.42), (1, 0.316)]
    gone = {1: "nms", 3: "low_combined_score", 5: "not_scored"}
    assert dropped(first) == gone and second["boxes"] == []
    assert dropped(second) == {**gone, **dict.fromkeys((0, 2, 4), "low_image_score")}


def published(image: float, boxes: Sequence[Seen]) -> list[tuple[int, float]]:
    """The appendix, step by step: there, suppression precedes the threshold. Phrase and confidence of what stays."""
    pool = []
    for index, (_, corners, c, own, best_phrase, best) in enumerate(boxes):
        if not math.isnan(own):  # (1), (2) and (3) are what scores hold
            pool.append((math.sqrt(c * best), -index, best_phrase, corners, best))  # (4)
    kept: list[Any] = []
    for entry in sorted(pool, reverse=True):  # (5)
        if all(entry[2] != other[2] or overlap(entry[3], other[3]) <= 0.5 for other in kept):
            kept.append(entry)
    kept = [entry for entry in kept if entry[0] > 0.3]
    if not kept or math.sqrt(image * sum(entry[4] for entry in kept) / len(kept)) <= 0.3:  # (6)
        return []
    return [(entry[2], entry[0]) for entry in sorted(kept, key=lambda entry: -entry[1])]


def overlap(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(width, 0) * max(height, 0)
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def test_the_steps_in_their_published_order_keep_the_same_boxes() -> None:
    draw = np.random.default_rng(11)
    images = []
    for _ in range(60):
        boxes = []
        for _ in range(draw.integers(0, 14)):
            x, y, side = draw.integers(0, 40), draw.integers(0, 40), draw.integers(20, 60)
            c, own, more = (float(np.float32(value)) for value in draw.uniform((0.1, 0.05, 0), (0.9, 0.4, 0.2)))
            phrase, best = draw.integers(0, 3), draw.integers(0, 3)
            best_score = own if phrase == best else float(np.float32(own + more))
            boxes.append((int(phrase), (x, y, x + side, y + side), c, own, int(best), best_score))
        images.append((float(np.float32(draw.uniform(0.2, 0.5))), boxes))
    found = apply(images, RECIPE)
    sizes = set()
    for row, image in zip(found, images, strict=True):
        expected = published(*image)
        sizes.add(len(expected))
        assert [box["phrase"] for box in row["boxes"]] == [phrase for phrase, _ in expected]
        assert [box["score"] for box in row["boxes"]] == pytest.approx([score for _, score in expected], abs=1e-6)
    assert min(sizes) == 0 and len(sizes) > 3


def test_a_region_that_does_not_fit_its_phrase_goes() -> None:
    (row,) = apply([(0.3, BOXES)], FilterConfig(min_score=0.3, min_region_score=0.18, nms_iou=1.0))
    assert dropped(row) == {1: "low_region_score", 2: "low_region_score", 3: "low_score", 5: "low_score"}
    found = [(box["phrase"], round(box["score"], 3)) for box in row["boxes"]]
    assert found == [(0, 0.64), (1, 0.5)]  # with the teacher's own scores
    (row,) = apply([(0.3, BOXES)], FilterConfig(min_score=0.6, min_region_score=0.25, nms_iou=1.0))
    assert dropped(row)[0] == "low_region_score"  # not above it
    (row,) = apply([(0.3, BOXES)], FilterConfig(min_score=0.05, min_region_score=-1.0, nms_iou=1.0))
    assert dropped(row) == {5: "not_scored"}


def test_an_image_that_does_not_fit_its_caption_goes() -> None:
    rules = FilterConfig(min_score=0.3, min_image_score=0.25, nms_iou=1.0)
    first, second, third = apply([(0.3, BOXES), (0.25, BOXES), (-0.5, [])], rules)
    assert dropped(first) == {3: "low_score", 5: "low_score"} and len(first["boxes"]) == 4
    assert dropped(second) == {**dropped(first), **dict.fromkeys((0, 1, 2, 4), "low_image_score")}
    assert third["boxes"] == [] and dropped(third) == {}


def test_a_box_goes_to_the_phrase_that_fits_it_best() -> None:
    (row,) = apply([(0.3, BOXES)], FilterConfig(min_score=0.3, relabel=True, nms_iou=1.0))
    assert [box["phrase"] for box in row["boxes"]] == [0, 0, 0, 1]
    (row,) = apply([(0.3, BOXES)], FilterConfig(min_score=0.3, relabel=True, min_region_score=0.3, nms_iou=1.0))
    assert [box["phrase"] for box in row["boxes"]] == [0]  # 0.36, of the phrase that it has now
    (row,) = apply([(0.3, BOXES)], FilterConfig(min_score=0.3, nms_iou=1.0))
    assert [box["phrase"] for box in row["boxes"]] == [0, 0, 1, 1]  # off by default, with the scores at hand


def test_rows_that_rescore_has_rejected_are_known_to_nobody() -> None:
    labels, scores = tables([(0.3, BOXES[:1]), (0.3, BOXES[:2]), (0.3, BOXES[:1])])
    scores = ScoreTable(scores.table.take([0, 2]))
    for rules in (
        FilterConfig(min_region_score=0.1),
        FilterConfig(min_image_score=0.1),
        FilterConfig(combine="geometric", min_score=0.1),
    ):
        rows = filter_labels(labels, np.full(3, 20), rules, scores).table.to_pylist()
        assert [len(row["boxes"]) for row in rows] == [1, 0, 1]
        assert set(dropped(rows[1]).values()) <= {"not_scored", "nms"}
    plain = filter_labels(labels, np.full(3, 20), FilterConfig(), scores).table
    assert plain.equals(filter_labels(labels, np.full(3, 20), FilterConfig()).table)


def test_scores_of_other_labels_are_refused() -> None:
    labels, scores = tables([(0.3, BOXES[:1]), (0.3, BOXES[:2])])
    for wrong, problem in (
        (scores.table.take([1, 0]), "has other keys than labels, or has them in another order"),
        (tables([(0.3, BOXES[:1]), (0.3, BOXES[:1])])[1].table, "has other boxes than labels"),
        (tables([(0.3, BOXES[:1])] * 3)[1].table, "has other keys than labels"),
    ):
        with pytest.raises(ValueError, match=problem):
            filter_labels(labels, np.full(2, 20), FilterConfig(min_region_score=0.1), ScoreTable(wrong))


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        ({}, ""),
        ({"min_region_score": -1.0}, "min_region_score"),
        ({"min_image_score": 0.0}, "min_image_score"),
        ({"combine": "geometric"}, "combine"),
        ({"relabel": True}, "relabel"),
    ],
)
def test_which_rules_need_scores(rules: dict[str, Any], name: str) -> None:
    assert needs_scores(FilterConfig(**rules)) == name


def test_what_does_not_fit_at_all_has_no_mean() -> None:
    found = geometric(np.float32([0.25, 0.25, -0.5]), np.float32([0.36, -0.1, -0.5]))
    assert found.tolist() == pytest.approx([0.3, 0.0, 0.0])
