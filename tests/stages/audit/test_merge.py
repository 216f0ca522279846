"""Summaries of parts add up."""

from __future__ import annotations

from typing import Any

from stages.audit.merge import add, merge_summaries


def test_nested_counters_add_up_element_by_element() -> None:
    total: dict[str, Any] = {"pairs": 2, "histogram": [1, 2], "reasons": {"a": 1}}
    add(total, {"pairs": 3, "histogram": [10, 20, 30], "reasons": {"a": 4, "b": 5}, "boxes": 6})
    assert total == {"pairs": 5, "histogram": [11, 22, 30], "reasons": {"a": 5, "b": 5}, "boxes": 6}


def test_parts_add_up_to_the_run_and_a_missing_one_is_left_out(shapes: Any) -> None:
    run = shapes(part_size=20).fill(60)
    run.audit()
    merged = merge_summaries(run.all_parts(), 1000)
    assert merged.parts == [0, 1, 2] and merged.planned == 3
    assert merged.count("phrases") == sum(len(row["phrases"]) for row in run.rows["phrases"])
    assert merged.terms["phrases"].columns["boxes"].sum() == sum(len(row["boxes"]) for row in run.rows["pseudo"])
    most = sorted(((len(row["boxes"]), row["key"]) for row in run.rows["pseudo"]), key=lambda one: (-one[0], one[1]))
    assert merged.worst["most_boxes"] == [(count, int(key)) for count, key in most[: len(merged.worst["most_boxes"])]]

    (run.root / "summaries" / "audit" / "part-0000001.json").unlink()
    less = merge_summaries(run.all_parts(), 1000)
    assert less.parts == [0, 2] and less.planned == 3
    second = [row for row in run.rows["phrases"] if row["key"].startswith("0000001")]
    assert merged.count("phrases") - less.count("phrases") == sum(len(row["phrases"]) for row in second)
