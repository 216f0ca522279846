"""The files of the report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow.parquet as pq

from tests.stages.audit.audited import norms, stats_of, stored


def test_nothing_at_all(shapes: Any) -> None:
    run = shapes()
    run.write("pairs", 0, [])
    assert run.audit()["pairs"] == 0


def test_a_filter_that_keeps_nothing(shapes: Any) -> None:
    run = shapes(filter={"min_score": 1.0}).fill(30)
    assert run.audit()["boxes"] == 0
    stats = stats_of(run)
    assert stats["unique_phrases"] == 0 and stats["pairs_with_any_box"] > 0
    assert [warning["code"] for warning in stats["warnings"]] == ["no_boxes"]
    empty = shapes().fill(30)
    empty.write("labels", 0, [{**row, "boxes": []} for row in run.rows["labels"]])
    empty.write("pseudo", 0, [{**row, "boxes": [], "dropped": []} for row in run.rows["pseudo"]])
    assert empty.audit()["boxes"] == 0
    assert stats_of(empty)["by_threshold"][0] == {"threshold": 0.1, "pairs": 0, "boxes": 0, "unique_phrases": 0}


def test_every_counted_phrase_is_in_the_parquet_file(run: Any) -> None:
    text = norms(run)
    boxes = Counter(text[row["key"]][box["phrase"]] for row in run.rows["pseudo"] for box in row["boxes"])
    best: dict[str, float] = {}
    for row in stored(run, "labels"):
        for box in row["boxes"]:
            norm = text[row["key"]][box["phrase"]]
            best[norm] = max(best.get(norm, 0.0), box["score"])
    table = pq.read_table(run.root / "report" / "phrases.parquet").to_pylist()
    assert {row["phrase"] for row in table} == {norm for row in text.values() for norm in row}
    assert {row["phrase"]: row["boxes"] for row in table if row["boxes"]} == dict(boxes)
    assert [row["boxes"] for row in table] == sorted((row["boxes"] for row in table), reverse=True)
    for row in table:
        if row["best"] is None:
            assert row["phrase"] not in best
        else:
            assert row["best"] < best[row["phrase"]] <= row["best"] + 0.0101
        assert row["sampled"]
