"""The boxes of a part that are exported."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from stages.export.rows import kept_rows, labelled_rows
from tests.stages.audit.audited import stored
from tests.stages.audit.test_second_opinion import add_scores


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Any]) -> Any:
    run = make_run(tmp_path_factory.mktemp("rows"), part_size=40).fill(40).mask()
    add_scores(run)
    return run


def scores_of(row: Any) -> list[float]:
    return [box.score for box in row.boxes]


def test_boxes_above_a_score_have_cosines_and_no_masks(run: Any) -> None:
    rows = labelled_rows(run.all_parts(), 0, 0.4)
    labels = stored(run, "labels")
    assert list(rows) == [row["key"] for row in labels]
    for row in labels:
        found = rows[row["key"]]
        assert scores_of(found) == [box["score"] for box in row["boxes"] if box["score"] > 0.4]
        assert not found.masks and all(box in found.cosines for box in found.boxes)
    seen = {row["key"]: row["image"] for row in stored(run, "scores")}
    assert {key: row.fit for key, row in rows.items() if not math.isnan(row.fit)} == seen != {}


def test_boxes_that_do_not_fit_their_masks_are_counted_and_lose_nobody_elses_cosine(run: Any) -> None:
    loose = Counter[str]()
    everything, tight = (kept_rows(run.all_parts(), 0, limit, loose) for limit in (1.0, 0.5))
    assert list(everything) == [row["key"] for row in stored(run, "pseudo")]
    gone = sum(len(row.boxes) for row in everything.values()) - sum(len(row.boxes) for row in tight.values())
    assert loose == {"mask_box_gap": gone} and gone > 3
    for key, row in tight.items():
        before = everything[key]
        assert set(row.boxes) <= set(before.boxes) and row.masks.keys() == set(row.boxes)
        for box in row.boxes:
            assert row.masks[box] == before.masks[box]
            assert row.cosines[box] == before.cosines[box] or math.isnan(row.cosines[box])
