"""Agreement with true boxes is that of `phrasebox evaluate`."""

from __future__ import annotations

from typing import Any

from stages.evaluate.labels import evaluate_labels
from tests.stages.audit.audited import stats_of


def test_agreement_is_that_of_evaluate(run: Any) -> None:
    stats = stats_of(run)["gold"]
    evaluated = evaluate_labels(run.all_parts(), 0.5, lambda done: None)["agreement"]["all"]
    rows = {row["threshold"]: row for row in stats["by_threshold"]}
    for row in evaluated["curve"]:
        mine = rows[row["threshold"]]
        assert (mine["judged"], mine["matched"], stats["boxes"]) == (row["boxes"], row["right"], row["gold"])
        assert (mine["precision"], mine["recall"]) == (row["precision"], row["recall"])
    assert 0.5 < stats["at_min_score"]["recall"] < stats["at_min_score"]["precision"] < 1


def test_truth_without_spans_is_named_by_its_category(shapes: Any) -> None:
    run = shapes(part_size=40).fill(40, gold=False)
    gold = []
    for row in run.rows["labels"]:
        best = max(row["boxes"], key=lambda box: box["score"], default=None)
        phrases = next(r["phrases"] for r in run.rows["phrases"] if r["key"] == row["key"])
        boxes = [{**best, "span": -1, "category": phrases[best["phrase"]]["head"].upper()}] if best else []
        gold.append({"key": row["key"], "spans": [], "boxes": boxes})
    run.write("gold", 0, gold)
    run.audit()
    stats = stats_of(run)["gold"]
    named = 0
    for row, truth in zip(run.rows["labels"], gold):
        phrases = next(r["phrases"] for r in run.rows["phrases"] if r["key"] == row["key"])
        names = {box["category"].lower() for box in truth["boxes"]}
        named += sum(phrases[box["phrase"]]["head"] in names for box in row["boxes"])
    assert stats["boxes"] == stats["named"] == sum(bool(row["boxes"]) for row in gold)
    assert stats["by_threshold"][0]["judged"] == named
    assert stats["by_threshold"][0]["recall"] == 1.0
