"""Scores of rescore in the report, recounted from the rows."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.stages.audit.audited import stats_of, stored


def add_scores(run: Any, relabel: bool = True, seed: int = 1) -> None:
    """A cosine for most boxes and all images but those of every ninth row, which rescore has rejected."""
    draw = random.Random(seed)
    counts = {row["key"]: len(row["phrases"]) for row in run.rows["phrases"]}
    for part in run.all_parts().parts():
        rows = [row for row in run.rows["labels"] if int(row["key"][:7]) == part]
        rows = [row for n, row in enumerate(rows) if n % 9]
        scores = []
        for row in rows:
            boxes = []
            for _ in row["boxes"]:
                own, more = draw.uniform(-0.2, 0.4), draw.choice((0.0, 0.1))
                best = {"best_phrase": draw.randrange(counts[row["key"]]), "best_score": own + more} if relabel else {}
                boxes.append({"score": own, **best} if draw.random() < 0.8 else {})
            scores.append({"key": row["key"], "image": draw.uniform(0.1, 0.4), "boxes": boxes})
        run.write("scores", part, scores)


def pairs_of(run: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every labelled box with what rescore says of it."""
    seen = {row["key"]: row["boxes"] for row in stored(run, "scores")}
    nothing = {"score": None, "best_phrase": None, "best_score": None}
    return [
        (box, score)
        for row in stored(run, "labels")
        for box, score in zip(row["boxes"], seen.get(row["key"], [nothing] * len(row["boxes"])), strict=True)
    ]


def combined(score: float, cosine: float) -> float:
    return math.sqrt(max(score, 0) * max(cosine, 0))


def test_every_rule_is_counted_on_the_boxes(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5, filter={"min_score": 0.3}).fill(130)
    add_scores(run)
    run.audit()
    found, pairs = stats_of(run)["scores"], pairs_of(run)
    scored = [(box["score"], score["score"]) for box, score in pairs if score["score"] is not None]
    assert found["boxes"] == len(scored) and found["unscored"] == len(pairs) - len(scored) and len(scored) > 100
    assert found["images"] == len(stored(run, "scores")) < len(stored(run, "labels"))
    assert len(found["by_region"]) > 20 and len(found["by_image"]) > 20
    for row in found["by_region"]:
        assert row["boxes"] == sum(c > 0.3 and s > row["threshold"] for c, s in scored)
    for row in found["by_image"]:
        assert row["pairs"] == sum(entry["image"] > row["threshold"] for entry in stored(run, "scores"))
    assert found["by_region"][0]["boxes"] == sum(c > 0.3 for c, _ in scored) and found["by_region"][-1]["boxes"] == 0
    assert [row["threshold"] for row in found["by_combined"]][::50] == [0.0, 0.5, 1.0]
    for row in found["by_combined"]:
        assert row["boxes"] == sum(combined(c, s) > row["threshold"] for c, s in scored)
    moved = [pair for pair in pairs if pair[1]["best_phrase"] not in (None, pair[0]["phrase"])]
    assert found["relabelled"]["boxes"] == len(moved) > 10
    best = [combined(box["score"], score["best_score"]) for box, score in pairs if score["score"] is not None]
    assert found["relabelled"]["by_combined"][20] == {"threshold": 0.2, "boxes": sum(value > 0.2 for value in best)}


def test_the_scatter_holds_every_box_in_its_cell(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=6).fill(90)
    add_scores(run, relabel=False)
    run.audit()
    found = stats_of(run)["scores"]
    edges, cells = found["scatter"]["cosine_edges"], found["scatter"]["boxes"]
    assert len(edges) == len(cells) + 1 and edges == sorted(edges, reverse=True) and {len(row) for row in cells} == {25}
    counted = Counter(
        (
            next(i for i in range(len(cells)) if edges[i + 1] < score["score"] <= edges[i]),
            math.ceil(box["score"] * 25) - 1,
        )
        for box, score in pairs_of(run)
        if score["score"] is not None
    )
    assert {(y, x): n for y, row in enumerate(cells) for x, n in enumerate(row) if n} == counted
    assert any(cells[0]) and any(cells[-1]) and "relabelled" not in found


@pytest.mark.parametrize("settings", [{}, {"min_region_score": 0.1, "min_image_score": 0.2}, {"combine": "geometric"}])
def test_the_page_shows_both_scores_and_the_rules(shapes: Callable[..., Any], settings: dict[str, Any]) -> None:
    run = shapes(part_size=40, seed=5, filter={"min_score": 0.3, **settings}).fill(60)
    add_scores(run)
    run.audit()
    page = (run.root / "report" / "index.html").read_text("utf-8")
    section = page[page.index('<section id="scores">') :].partition("</section>")[0]
    assert f"{stats_of(run)['scores']['boxes']:,} boxes with their phrases" in section
    assert section.count("<figure>") == section.count("<svg") == 4 and section.count('class="heat"') > 50
    assert section.count('class="mark s1"') == {0: 0, 1: 1, 2: 2}[len(settings)]
    plain = shapes(part_size=40, seed=5).fill(60)
    plain.audit()
    without = (plain.root / "report" / "index.html").read_text("utf-8")
    assert 'id="scores"' not in without and "scores" not in stats_of(plain)


def test_nothing_scored_is_nothing_drawn(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40, seed=5).fill(20)
    for part in run.all_parts().parts():
        rows = [row for row in run.rows["labels"] if int(row["key"][:7]) == part]
        scores = [{"key": row["key"], "image": 0.25, "boxes": [{}] * len(row["boxes"])} for row in rows]
        run.write("scores", part, scores)
    run.audit()
    found = stats_of(run)["scores"]
    assert (found["boxes"], found["by_region"], found["scatter"]) == (0, [], {"cosine_edges": [], "boxes": []})
    assert found["by_image"][0]["pairs"] == found["images"] == len(run.rows["labels"])
