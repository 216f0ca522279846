"""SQL over a run, and single samples as pictures and text."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.storage import open_storage
from stages.query import query
from stages.show import COLOURS, show
from stages.stage import UserError

DOCS = Path(__file__).resolve().parents[3] / "docs" / "queries.md"


@pytest.fixture(scope="module")
def run(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    odd = tmp_path_factory.mktemp("it's [odd] *run?")
    run = make_run(odd, part_size=30).fill(120)
    run.audit()
    return run


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
    assert names[:3] == ["key", "box", "phrase"] and names[-3:] == ["share", "kept", "reason"]


def test_what_the_run_does_not_have_is_an_empty_table(shapes: Callable[..., Any]) -> None:
    early = shapes().fill(5, until="labels", gold=False)
    assert rows(early, "SELECT count(*) FROM gold") == [(0,)]
    assert {kept for (kept,) in rows(early, "SELECT kept FROM boxes_flat")} == {None}


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


@pytest.mark.parametrize("number", range(1, 11))
def test_the_ten_queries_of_the_docs(run: Any, number: int) -> None:
    sql = re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(sql) == 10
    names, found = query(str(run.root), sql[number - 1])
    listed = list(found)
    if number == 1:
        boxes = Counter(row["norm"] for row in _kept(run))
        assert [(row[0], row[1]) for row in listed] == sorted(boxes.items(), key=lambda item: (-item[1], item[0]))[:20]
    if number == 2:
        assert ("good old days", True) in [(row[0], row[3] <= 0.1) for row in listed]
    assert names and (listed or number in (3, 5, 6, 9))


def _kept(run: Any) -> list[dict[str, Any]]:
    norms = {row["key"]: [p["norm"] for p in row["phrases"]] for row in run.rows["phrases"]}
    return [{"norm": norms[row["key"]][box["phrase"]]} for row in run.rows["pseudo"] for box in row["boxes"]]


def test_show_draws_the_kept_boxes_in_their_colours(run: Any) -> None:
    row = next(r for r in run.rows["pseudo"] if len(r["boxes"]) == 1 and r["boxes"][0]["x1"] > 40)
    (shown,) = show(run.all_parts(), [row["key"]])
    box = row["boxes"][0]
    assert shown.lines[0].startswith(row["key"]) and f"{box['score']:.3f}" in shown.lines[1] and len(shown.lines) == 2
    pixels = np.asarray(Image.open(io.BytesIO(shown.png)).convert("RGB")).astype(int)
    scale = pixels.shape[1] / row["width"]
    colour = _rgb(COLOURS[box["phrase"] % 8])
    left = pixels[round((box["y1"] + box["y2"]) / 2 * scale), round(box["x1"] * scale) + 1]
    assert (left == colour).all()


def test_show_draws_boxes_that_coincide_inside_each_other(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(2, until="phrases", gold=False)  # its first row is a reject
    row = next(row for row in run.rows["phrases"] if len(row["phrases"]) > 1)
    boxes = [
        {"phrase": p, "x1": 50.0, "y1": 60.0, "x2": 250.0, "y2": 200.0, "score": s} for p, s in ((0, 0.9), (1, 0.8))
    ]
    labels = {"key": row["key"], "width": 320, "height": 240, "boxes": boxes, "dropped": []}
    for dataset in ("labels", "pseudo"):
        run.write(dataset, 0, [labels])
    (shown,) = show(run.all_parts(), [row["key"]])
    pixels = np.asarray(Image.open(io.BytesIO(shown.png)).convert("RGB")).astype(int)
    scale = pixels.shape[1] / 320
    across = pixels[round(150 * scale), round(50 * scale) : round(50 * scale) + 8]
    seen = [[i for i in (0, 1) if (pixel == _rgb(COLOURS[i])).all()] for pixel in across]
    assert [0] in seen and [1] in seen and seen.index([0]) < seen.index([1])


def _rgb(colour: str) -> Any:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def test_show_by_phrase_and_threshold(run: Any) -> None:
    found = list(show(run.all_parts(), phrase=" Red   BALL", limit=3))
    norms = {row["key"]: [p["norm"] for p in row["phrases"]] for row in run.rows["phrases"]}
    expected = [
        r["key"] for r in run.rows["pseudo"] if any(norms[r["key"]][b["phrase"]] == "red ball" for b in r["boxes"])
    ]
    assert [shown.key for shown in found] == expected[:3]
    key = next(row["key"] for row in run.rows["labels"] if len(row["boxes"]) > 3)
    labels = next(row for row in run.rows["labels"] if row["key"] == key)
    (shown,) = show(run.all_parts(), [key], threshold=0.2)
    assert len(shown.lines) - 1 == sum(box["score"] > 0.2 for box in labels["boxes"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name a key"),
        ({"keys": ["12"]}, "'12' is no key"),
        ({"keys": ["000000000000"]}, "no pair 000000000000"),  # rejected at ingest
        ({"keys": ["000000900000"]}, "no pair 000000900000"),
        ({"phrase": "unicorn"}, "no box of the phrase 'unicorn'"),
    ],
)
def test_show_says_what_is_wrong(run: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(show(run.all_parts(), **options))


def test_show_cannot_steer_a_terminal(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(3)
    pair = {**run.rows["pairs"][0], "caption": "a ball \x1b[2J\u202e and a kite"}
    run.write("pairs", 0, [pair])
    (shown,) = show(run.all_parts(), [pair["key"]])
    assert "\x1b" not in shown.lines[0] and "\u202e" not in shown.lines[0] and r"\x1b[2J\u202e" in shown.lines[0]


def test_show_without_a_picture(run: Any) -> None:
    key = next(row["key"] for row in run.rows["pairs"] if row["image"] is None)
    (shown,) = show(run.all_parts(), [key])
    assert shown.png is None and shown.lines[-1] == "  no picture: no_image"
