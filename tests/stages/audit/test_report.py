"""The files of the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq

from stages.review.figures import review_figures
from tests.stages.audit.audited import norms, stats_of, stored
from tests.stages.review.sitting import session_of, truth


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


def test_what_people_judged_stands_beside_gold(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(130)
    run.audit()
    assert stats_of(run)["judged"] is None and 'id="judged"' not in (run.root / "report/index.html").read_text("utf-8")
    session = session_of(run, 120, 10)
    for task, unit in enumerate(session.units[:120]):
        session.judge({"reviewer": "ann", "task": task, "verdict": "right" if truth(run, unit) else "wrong_box"})
    session.judge({"reviewer": "ann", "task": 121, "verdict": "there", "boxes": [[1, 1, 60, 60]]})
    run.audit()
    stats, figures = stats_of(run), review_figures(run.all_parts(), run.config)
    assert stats["judged"] == figures and figures is not None
    page = (run.root / "report/index.html").read_text("utf-8")
    row = figures["at_min_score"]
    assert f"<b>{row['precision']:.1%}</b> of {row['boxes']:,} boxes are right" in page
    assert f"{row['low']:.1%} to {row['high']:.1%}" in page and 'class="band"' in page
    assert f"Against the true boxes it is {stats['gold']['at_min_score']['precision']:.1%}" in page
    assert "precision of" not in page


def test_the_precision_of_each_teacher_is_in_the_page(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, label={"teachers": ["glip-nano", {"name": "other", "teacher": "glip-nano"}]}).fill(60)
    for part in run.all_parts().parts():
        rows = [row for row in run.rows["labels"] if int(row["key"][:7]) == part]
        run.write("labels-other", part, [{**row, "boxes": row["boxes"][:1]} for row in rows])
    session = session_of(run, 60, 0)
    for task, unit in enumerate(session.units):
        session.judge({"reviewer": "ann", "task": task, "verdict": "right" if truth(run, unit) else "wrong_box"})
    run.audit()
    page = (run.root / "report/index.html").read_text("utf-8")
    found = stats_of(run)["judged"]["by_teacher"]
    assert list(found) == ["glip-nano", "other"]
    for name, own in found.items():
        row = own["at_min_score"]
        assert f"<td>precision of {name}</td>" in page and f"{row['low']:.1%} to {row['high']:.1%}" in page
