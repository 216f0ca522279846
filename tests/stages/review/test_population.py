"""The population is what the filter would keep at any threshold; numbers name a box whatever lies around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stages.review.population import frequencies, number_of, numbers, strata_of_boxes, units_of_run
from stages.stage import UserError
from tests.stages.review.sitting import EDGES, common_norms, surviving


def test_boxes_are_those_that_the_filter_keeps_but_for_its_threshold(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(90)
    found = [
        (key, (start, end), tuple(corners), score)
        for boxes, _ in units_of_run(run.all_parts(), run.config)
        for key, start, end, corners, score in zip(
            boxes.keys(np.arange(len(boxes.row))),
            boxes.start.tolist(),
            boxes.end.tolist(),
            boxes.corners.tolist(),
            boxes.score.tolist(),
            strict=True,
        )
    ]
    expected = [(key, span, corners, score) for key, span, corners, score, _ in surviving(run)]
    assert sorted(found) == sorted(expected) and len(found) > 100
    assert len(found) < sum(len(row["boxes"]) for row in run.rows["labels"])


def test_strata_are_bands_of_the_score_of_common_and_rare_phrases(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(90)
    counted = frequencies(run.all_parts(), run.config)
    common = common_norms(run)
    seen = set()
    for boxes, _ in units_of_run(run.all_parts(), run.config):
        strata = strata_of_boxes(boxes, counted.common(boxes)).tolist()
        for norm, score, stratum in zip(boxes.norm.to_pylist(), boxes.score.tolist(), strata, strict=True):
            band = next(i for i in range(8) if EDGES[i] < score <= EDGES[i + 1])
            assert stratum == band + 8 * (norm not in common)
            seen.add(stratum)
    assert len(seen) > 10


def test_a_number_follows_from_key_span_and_corners_alone(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(40)
    (boxes, phrases), *_ = units_of_run(run.all_parts(), run.config)
    first = np.array([0])
    (key,), corners = boxes.keys(first), tuple(boxes.corners[0].tolist())
    span = int(boxes.start[0]), int(boxes.end[0])
    assert number_of(key, span, corners) == boxes.number[0]
    (key,), span = phrases.keys(first), (int(phrases.start[0]), int(phrases.end[0]))
    assert number_of(key, span, None) == phrases.number[0]
    every = np.concatenate([boxes.number, phrases.number])
    assert len(np.unique(every)) == len(every) > 100


def test_a_changed_bit_is_another_unit() -> None:
    corners = np.array([[1, 2, 30, 40]], np.float32)
    base = numbers([7], [0], [5], corners)
    others = [numbers([8], [0], [5], corners), numbers([7], [1], [5], corners), numbers([7], [0], [6], corners)]
    others += [numbers([7], [0], [5], np.nextafter(corners, np.float32(99))), numbers([7], [0], [5], corners[:, :0])]
    assert len({int(n[0]) for n in (base, *others)}) == 6


def test_a_run_without_labels_is_told_so(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(10, until="phrases")
    with pytest.raises(UserError, match="no labels yet"):
        list(units_of_run(run.all_parts(), run.config))


def test_the_second_opinion_counts_as_it_does_in_the_filter(shapes: Callable[..., Any]) -> None:
    """With a region score of at least 0.5, and the geometric mean for a score."""
    run = shapes(part_size=40, filter={"min_region_score": 0.5, "combine": "geometric", "nms_iou": 1.0}).fill(60)
    said = {}
    for part in run.all_parts().parts():
        rows = [row for row in run.rows["labels"] if int(row["key"][:7]) == part]
        scores = []
        for row in rows:
            boxes = [
                {"score": (i % 4) / 4 + 0.1, "best_phrase": box["phrase"], "best_score": 0.9}
                for i, box in enumerate(row["boxes"])
            ]
            scores.append({"key": row["key"], "image": 0.5, "boxes": boxes})
            said |= {(row["key"], i): entry["score"] for i, entry in enumerate(boxes)}
        run.write("scores", part, scores)
    found = sorted(
        round(score, 5) for boxes, _ in units_of_run(run.all_parts(), run.config) for score in boxes.score.tolist()
    )
    expected = sorted(
        round((box["score"] * said[row["key"], i]) ** 0.5, 5)
        for row in run.rows["labels"]
        for i, box in enumerate(row["boxes"])
        if said[row["key"], i] > 0.5 and min(box["x2"] - box["x1"], box["y2"] - box["y1"]) >= 2
    )
    assert found == pytest.approx(expected, abs=2e-5) and len(found) > 30
