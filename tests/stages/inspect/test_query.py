"""SQL over a run, and the queries of docs/queries.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.storage.open import open_storage
from stages.inspect.query import query
from stages.stage import UserError
from tests.stages.audit.audited import stored
from tests.stages.audit.test_second_opinion import add_scores

DOCS = Path(__file__).resolve().parents[3] / "docs" / "queries.md"


def rows(run: Any, sql: str) -> list[tuple[Any, ...]]:
    return list(query(str(run.root), sql)[1])


def test_flat_views_are_the_rows_of_the_parts(run: Any) -> None:
    phrases = [
        (row["key"], i, p["start"], p["end"], p["text"], p["head"], p["norm"])
        for row in run.rows["phrases"]
        for i, p in enumerate(row["phrases"])
    ]
    assert rows(run, "SELECT * FROM phrases_flat ORDER BY key, phrase") == phrases
    norms = {row["key"]: [p["norm"] for p in row["phrases"]] for row in run.rows["phrases"]}
    dropped = {(row["key"], d["box"]): d["reason"] for row in run.rows["pseudo"] for d in row["dropped"]}
    boxes = [
        (row["key"], i, norms[row["key"]][box["phrase"]], (row["key"], i) not in dropped, dropped.get((row["key"], i)))
        for row in run.rows["labels"]
        for i, box in enumerate(row["boxes"])
    ]
    assert rows(run, "SELECT key, box, norm, kept, reason FROM boxes_flat ORDER BY key, box") == boxes
    names, _ = query(str(run.root), "SELECT * FROM boxes_flat")
    assert names[:3] == ["key", "box", "phrase"] and names[13:16] == ["share", "kept", "reason"]
    assert {row[16:] for row in rows(run, "SELECT * FROM boxes_flat")} == {(None,) * 4}  # nobody was asked


def scored_run(shapes: Callable[..., Any]) -> Any:
    run = shapes(part_size=30, seed=3).fill(200)
    add_scores(run)
    return run


def test_boxes_have_what_rescore_says_of_them(shapes: Callable[..., Any]) -> None:
    run = scored_run(shapes)
    seen = {row["key"]: row for row in stored(run, "scores")}
    nothing = {"score": None, "best_phrase": None, "best_score": None}
    expected = [
        (row["key"], i, *(seen[row["key"]]["boxes"][i] if row["key"] in seen else nothing).values(), image)
        for row in stored(run, "labels")
        for image in [seen[row["key"]]["image"] if row["key"] in seen else None]
        for i in range(len(row["boxes"]))
    ]
    sql = "SELECT key, box, region_score, best_phrase, best_score, image_score FROM boxes_flat ORDER BY key, box"
    assert rows(run, sql) == expected
    assert sum(row[2] is None for row in expected) > 20 and sum(row[2] is not None for row in expected) > 100
    assert {row[2:] for row in query(str(run.root), sql, turned_off=["scores"])[1]} == {(None,) * 4}


def test_the_query_of_the_page_on_rescoring(shapes: Callable[..., Any]) -> None:
    run = scored_run(shapes)
    (sql,) = re.findall(r"```sql\n(.*?)```", (DOCS.parent / "rescoring.md").read_text(), re.DOTALL)
    norm = {(row["key"], i): p["norm"] for row in run.rows["phrases"] for i, p in enumerate(row["phrases"])}
    seen = {row["key"]: row["boxes"] for row in stored(run, "scores")}
    cosines: dict[str, list[float]] = {}
    for row in stored(run, "labels"):
        for box, score in zip(row["boxes"], seen.get(row["key"], []), strict=False):
            if box["score"] > 0.5 and score["score"] is not None:
                cosines.setdefault(norm[row["key"], box["phrase"]], []).append(score["score"])
    expected = [(text, len(own), np.median(own)) for text, own in cosines.items() if len(own) >= 20]
    found = rows(run, sql)
    assert len(found) == len(expected) > 2
    assert found == [(text, n, pytest.approx(m)) for text, n, m in sorted(expected, key=lambda row: row[2])]


def test_what_the_run_does_not_have_is_an_empty_table(shapes: Callable[..., Any]) -> None:
    early = shapes().fill(5, until="labels", gold=False)
    assert rows(early, "SELECT count(*) FROM gold") == [(0,)]
    assert {kept for (kept,) in rows(early, "SELECT kept FROM boxes_flat")} == {None}


def test_what_is_turned_off_is_an_empty_table_too(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(10)
    run.write("curation", 0, [{"key": "000000000001", "keep": False, "reason": "near_duplicate"}])
    count = "SELECT count(*) FROM curation"
    assert list(query(str(run.root), count)[1]) == [(1,)]
    assert list(query(str(run.root), count, turned_off=["curation"])[1]) == [(0,)]


def test_a_run_in_an_object_store(run: Any, shapes: Callable[..., Any]) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for path in run.root.rglob("*.*"):
        if path.is_file() and path.parent.name != "report":
            store.pipe_file(f"/a-run/{path.relative_to(run.root).as_posix()}", path.read_bytes())
    remote = shapes(part_size=30)
    remote.storage, remote.rows = open_storage("memory://a-run"), run.rows
    remote.config = run.config
    assert remote.audit()["boxes"] == sum(len(row["boxes"]) for row in run.rows["pseudo"])
    assert store.cat_file("/a-run/report/stats.json") == (run.root / "report" / "stats.json").read_bytes()
    sql = "SELECT norm, count(*) FROM boxes_flat WHERE kept GROUP BY norm ORDER BY norm"
    assert list(query("memory://a-run", sql)[1]) == rows(run, sql)
    store.rm("/a-run", recursive=True)


def test_bad_sql_and_no_run(run: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no_such_table"):
        query(str(run.root), "SELECT * FROM no_such_table")
    with pytest.raises(UserError, match="no such run folder"):
        query(str(tmp_path / "nothing"), "SELECT 1")


def ten_queries() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def answers(run: Any) -> Callable[[int], list[tuple[Any, ...]]]:
    """Of the docs' queries, by number, on a run in which each of them finds something."""
    sql = ten_queries()
    assert len(sql) == 10
    return lambda number: rows(run, sql[number - 1])


def boxes_of(run: Any) -> list[dict[str, Any]]:
    """Each labelled box with its phrase, its image's size, and whether and why it was kept."""
    phrases = {(row["key"], i): p for row in run.rows["phrases"] for i, p in enumerate(row["phrases"])}
    dropped = {(row["key"], d["box"]): d["reason"] for row in run.rows["pseudo"] for d in row["dropped"]}
    return [
        {**phrases[row["key"], box["phrase"]], **box, "key": row["key"], "area": row["width"] * row["height"]}
        | {"reason": dropped.get((row["key"], i)), "kept": (row["key"], i) not in dropped}
        for row in run.rows["labels"]
        for i, box in enumerate(row["boxes"])
    ]


def size(box: dict[str, Any]) -> float:
    return float((box["x2"] - box["x1"]) * (box["y2"] - box["y1"]))


def ordered(counts: Counter[Any]) -> list[Any]:
    """(what, count), the most first, then by name; the first 20."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]


def test_queries_of_phrases(run: Any, answers: Any) -> None:
    boxes = boxes_of(run)
    kept = [box for box in boxes if box["kept"]]
    assert [row[:2] for row in answers(1)] == ordered(Counter(box["norm"] for box in kept))
    for norm, _, images, mean in answers(1):
        own = [box for box in kept if box["norm"] == norm]
        assert images == len({box["key"] for box in own})
        assert mean == pytest.approx(sum(box["score"] for box in own) / len(own), abs=0.0006)
    hardly = answers(2)[0]
    asked = sum(p["norm"] == "good old days" for row in run.rows["phrases"] for p in row["phrases"])
    assert hardly[0] == "good old days" and 20 <= hardly[1] <= asked and hardly[3] == round(hardly[2] / hardly[1], 3)
    by_head: dict[str, list[float]] = {}
    for box in boxes:
        by_head.setdefault(box["head"], []).append(box["score"])
    found = {head: (count, median, p90) for head, count, median, p90 in answers(3)}
    assert found and set(found) == {head for head, scores in by_head.items() if len(scores) >= 20}
    for head, (count, median, p90) in found.items():
        assert count == len(by_head[head])
        assert (median, p90) == pytest.approx(np.quantile(by_head[head], [0.5, 0.9]).tolist(), abs=0.0006)
    assert [row[3] for row in answers(3)] == sorted(p90 for *_, p90 in found.values())


def test_queries_of_what_was_left_out(run: Any, answers: Any) -> None:
    expected = Counter((row["stage"], row["reason"]) for row in run.rows["rejects/ingest"])
    expected += Counter(("filter (boxes)", box["reason"]) for box in boxes_of(run) if not box["kept"])
    assert {row[:2]: row[2] for row in answers(4)} == expected
    phrases = {row["key"]: row for row in run.rows["phrases"]}
    empty = [(row["key"], len(phrases[row["key"]]["phrases"])) for row in run.rows["pseudo"] if not row["boxes"]]
    first = sorted(empty, key=lambda item: (-item[1], item[0]))[:20]
    assert answers(7) == [(key, number, phrases[key]["caption"]) for key, number in first] != []


def test_queries_of_shapes(run: Any, answers: Any) -> None:
    kept: dict[str, list[dict[str, Any]]] = {}
    for box in boxes_of(run):
        if box["kept"]:
            kept.setdefault(box["key"], []).append(box)
    claims: Counter[tuple[str, str]] = Counter()
    for a, b in ((a, b) for boxes in kept.values() for a in boxes for b in boxes if a["phrase"] < b["phrase"]):
        width, height = min(a["x2"], b["x2"]) - max(a["x1"], b["x1"]), min(a["y2"], b["y2"]) - max(a["y1"], b["y1"])
        claims[a["norm"], b["norm"]] += max(width, 0) * max(height, 0) >= 0.9 * max(size(a), size(b))
    assert answers(5) == [(*norms, times) for norms, times in ordered(+claims)] != []
    whole = Counter(b["norm"] for boxes in kept.values() for b in boxes if size(b) >= 0.95 * b["area"])
    assert answers(6) == ordered(whole) != []


def test_queries_of_pairs(run: Any, answers: Any) -> None:
    boxes = {row["key"]: len(row["boxes"]) for row in run.rows["pseudo"]}
    total, filled = sum(boxes.values()), sum(map(bool, boxes.values()))
    assert answers(8) == [("CC0", len(boxes), total, round(total / filled, 2))]
    captions: dict[str, list[int]] = {}
    for pair in run.rows["pairs"]:
        if pair["image"]:
            captions.setdefault(pair["sha256"], []).append(boxes[pair["key"]])
    several = [(sha, len(n), min(n), max(n)) for sha, n in captions.items() if len(n) > 1]
    assert answers(9) == sorted(several, key=lambda row: (row[2] - row[3], row[0])) != []
    single = Counter((b["key"], b["phrase"], b["norm"]) for b in boxes_of(run) if b["kept"])
    plural = Counter(norm for (_, _, norm), n in single.items() if n == 1 and norm == "good old days")
    assert answers(10) == ordered(plural) != []
