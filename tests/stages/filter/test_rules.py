"""The filter's rules, by cases and against the rules applied one box at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.config import FilterConfig
from schemas.reasons import DROPPED_BOX
from schemas.records import LABELS, PSEUDO
from schemas.tables import LabelTable
from stages.filter.rules import RULES, filter_labels

Labelled = tuple[int, float, float, float, float, float]  # phrase, x1, y1, x2, y2, score
Image = tuple[int, int, Sequence[Labelled]]  # width, height, boxes


def labels_table(rows: Sequence[Image]) -> pa.Table:
    names = ("phrase", "x1", "y1", "x2", "y2", "score")
    return pa.Table.from_pylist(
        [
            {
                "key": f"{row:012d}",
                "width": width,
                "height": height,
                "boxes": [dict(zip(names, box)) for box in boxes],
                "dropped": [],
            }
            for row, (width, height, boxes) in enumerate(rows)
        ],
        schema=LABELS,
    )


def apply(rows: Sequence[Image], caption_chars: int = 20, **rules: Any) -> list[dict[str, Any]]:
    labels = LabelTable(labels_table(rows))
    table = filter_labels(labels, np.full(len(rows), caption_chars), FilterConfig(**rules)).table
    assert table.schema == PSEUDO
    return table.to_pylist()


def dropped(row: dict[str, Any]) -> dict[int, str]:
    return {entry["box"]: entry["reason"] for entry in row["dropped"]}


def test_every_reason_is_listed() -> None:
    of_masks = {"mask_box_gap"}  # acts behind the filter: stages/masks.py
    assert set(RULES) - {""} == set(DROPPED_BOX) - of_masks


def test_score_is_compared_strictly_and_exactly() -> None:
    just_above = float(np.nextafter(np.float32(0.5), np.float32(1)))
    (row,) = apply(
        [(100, 100, [(0, 0, 0, 50, 50, 0.5), (0, 50, 50, 99, 99, just_above), (1, 0, 0, 9, 9, float("nan"))])]
    )
    assert [box["score"] for box in row["boxes"]] == [just_above]
    assert dropped(row) == {0: "low_score", 2: "low_score"}


def test_nms_stays_within_a_phrase_and_breaks_ties_by_index() -> None:
    box = (10, 10, 60, 60)
    (row,) = apply(
        [(100, 100, [(0, *box, 0.7), (0, *box, 0.9), (1, *box, 0.6), (1, *box, 0.6), (2, 0, 0, 20, 20, 0.8)])]
    )
    assert [(kept["phrase"], round(kept["score"], 4)) for kept in row["boxes"]] == [(0, 0.9), (1, 0.6), (2, 0.8)]
    assert dropped(row) == {0: "nms", 3: "nms"}


def test_nms_suppresses_above_the_limit_only() -> None:
    # IoU of [0, 10] and [0, 6] in x is exactly 0.6.
    rows = [(100, 100, [(0, 0, 0, 10, 10, 0.9), (0, 0, 0, 6, 10, 0.8)])]
    assert len(apply(rows, nms_iou=0.6)[0]["boxes"]) == 2
    assert dropped(apply(rows, nms_iou=0.59)[0]) == {1: "nms"}
    assert len(apply([(100, 100, [(0, 0, 0, 9, 9, 0.9)] * 3)], nms_iou=1.0)[0]["boxes"]) == 3


def test_a_suppressed_box_suppresses_none() -> None:
    # a > b > c by score; b overlaps a, c overlaps b but not a.
    rows = [(100, 100, [(0, 0, 0, 30, 10, 0.9), (0, 6, 0, 36, 10, 0.8), (0, 12, 0, 42, 10, 0.7)])]
    assert dropped(apply(rows, nms_iou=0.6)[0]) == {1: "nms"}


def test_a_region_goes_to_the_phrase_that_claims_it_most() -> None:
    box, near, other = (10, 10, 60, 60), (12, 10, 62, 60), (40, 40, 90, 90)
    rows = [
        (100, 100, [(0, *box, 0.6), (1, *near, 0.9), (0, *other, 0.7)]),
        (100, 100, [(0, *box, 0.6), (0, *near, 0.9)]),  # one phrase: left to nms_iou
        (100, 100, [(1, *box, 0.6), (0, *near, 0.6)]),  # equals: the lower index
        (100, 100, [(0, *box, 0.8), (1, *near, 0.4)]),  # not sure enough to claim anything
    ]
    found = [dropped(row) for row in apply(rows, phrase_nms_iou=0.6, nms_iou=1.0)]
    assert found == [{0: "other_phrase"}, {}, {1: "other_phrase"}, {1: "low_score"}]
    assert [len(row["boxes"]) for row in apply(rows, nms_iou=1.0)] == [3, 2, 2, 1]  # off by default


def test_boxes_are_clipped_and_never_flat() -> None:
    (row,) = apply(
        [
            (
                100,
                50,
                [
                    (0, -5, -5, 120, 60, 0.9),
                    (1, 100, 0, 140, 40, 0.9),
                    (2, 30, 30, 20, 40, 0.9),
                    (3, 10, 10, 11, 40, 0.9),
                    (4, float("nan"), 0, 10, 10, 0.9),
                ],
            )
        ]
    )
    assert [tuple(row["boxes"][0][name] for name in ("x1", "y1", "x2", "y2"))] == [(0, 0, 100, 50)]
    assert dropped(row) == dict.fromkeys((1, 2, 3, 4), "box_too_small")
    (row,) = apply([(100, 50, [(0, 5, 5, 5, 9, 0.9), (0, 5, 5, 5.25, 9, 0.9)])], min_box_side=0)
    assert dropped(row) == {0: "box_too_small"}


def test_rules_of_the_whole_image_come_first() -> None:
    box = (0, 0, 0, 10, 10, 0.1)
    rows = [(15, 300, [box]), (16, 161, [box]), (16, 160, [box])]
    assert [dropped(row) for row in apply(rows)] == [{0: "image_too_small"}, {0: "image_aspect"}, {0: "low_score"}]
    assert [dropped(row)[0] for row in apply(rows, caption_chars=0)] == [
        "image_too_small",
        "image_aspect",
        "caption_length",
    ]
    assert dropped(apply(rows[2:], max_caption_chars=19)[0]) == {0: "caption_length"}


def test_the_best_boxes_of_an_image_are_kept_in_their_order() -> None:
    boxes = [(i, 10 * i, 0, 10 * i + 9, 9, score) for i, score in enumerate((0.6, 0.9, 0.8, 0.6, 0.8))]
    (row, other) = apply([(100, 20, boxes), (100, 20, boxes[:2])], max_boxes=3)
    assert [box["phrase"] for box in row["boxes"]] == [1, 2, 4]
    assert dropped(row) == {0: "too_many_boxes", 3: "too_many_boxes"}
    assert len(other["boxes"]) == 2


def test_empty_lists_and_empty_parts() -> None:
    assert apply([(64, 64, [])])[0]["boxes"] == []
    assert len(filter_labels(LabelTable(LABELS.empty_table()), np.zeros(0, np.int64), FilterConfig())) == 0


def plain_filter(boxes: Sequence[Labelled], width: int, height: int, rules: FilterConfig) -> dict[int, str]:
    """The rules once more, one box at a time: index -> reason of those taken out."""
    out = {}
    alive = []
    for i, (phrase, *corners, score) in enumerate(boxes):
        x1, x2 = (min(max(c, 0), width) for c in corners[::2])
        y1, y2 = (min(max(c, 0), height) for c in corners[1::2])
        if score <= rules.min_score:
            out[i] = "low_score"
        elif x2 - x1 < rules.min_box_side or y2 - y1 < rules.min_box_side or x2 <= x1 or y2 <= y1:
            out[i] = "box_too_small"
        else:
            alive.append((-score, i, phrase, (x1, y1, x2, y2)))
    for reason, limit, rivals in (
        ("nms", rules.nms_iou, lambda one, other: one == other),
        ("other_phrase", rules.phrase_nms_iou, lambda one, other: one != other),
    ):
        kept = []
        for entry in sorted(alive):
            _, i, phrase, (ax1, ay1, ax2, ay2) = entry
            for _, _, other, (bx1, by1, bx2, by2) in kept:
                inter = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
                union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - inter
                if rivals(phrase, other) and inter / union > limit:
                    out[i] = reason
                    break
            else:
                kept.append(entry)
        alive = kept
    return {**out, **{entry[1]: "too_many_boxes" for entry in kept[rules.max_boxes :]}}


@pytest.mark.parametrize("phrase_nms_iou", [1.0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_rules_applied_one_by_one(seed: int, phrase_nms_iou: float) -> None:
    random = np.random.default_rng(seed)
    rules = FilterConfig(max_boxes=6, nms_iou=0.4, min_box_side=4, phrase_nms_iou=phrase_nms_iou)
    rows = []
    for _ in range(60):
        count = random.integers(0, 25)
        corners = random.integers(-10, 110, (count, 4))
        boxes = [
            (int(random.integers(3)), *(float(c) for c in corner), float(random.integers(0, 9)) / 8)
            for corner in corners
        ]
        rows.append((100, 90, boxes))
    found = apply(rows, **rules.model_dump())
    assert len(found) == len(rows) == 60
    for (width, height, boxes), row in zip(rows, found, strict=True):
        expected = plain_filter(boxes, width, height, rules)
        assert dropped(row) == expected
        assert [box["score"] for box in row["boxes"]] == [b[5] for i, b in enumerate(boxes) if i not in expected]
