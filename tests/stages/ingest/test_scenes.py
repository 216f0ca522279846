"""The built-in scenes as a source."""

from __future__ import annotations

import pytest

from stages.ingest.stage import IngestStage
from stages.stage import Slice, UserError
from tests.stages.conftest import Run


def test_scene_pairs_are_those_of_the_drawing(run: Run) -> None:
    from stages.synthetic import draw_scene

    pairs = run.ingest(source="scenes", split="web", count=3, seed=1)
    rows = run.rows("gold")
    assert len(pairs) == len(rows) == 3
    for index, (pair, gold) in enumerate(zip(pairs, rows, strict=True)):
        scene = draw_scene("web", 1, index)
        assert (pair["caption"], pair["width"], pair["height"]) == (scene.caption, scene.width, scene.height)
        assert run.image(pair) == scene.jpeg
        assert [(span["start"], span["end"]) for span in gold["spans"]] == list(scene.spans)
        assert [(b["span"], b["x1"], b["y1"], b["x2"], b["y2"], b["category"]) for b in gold["boxes"]] == [
            (b.span, b.x1, b.y1, b.x2, b.y2, b.category) for b in scene.boxes
        ]


def test_scenes_need_a_count(run: Run) -> None:
    with pytest.raises(UserError, match=r"ingest\.count"):
        IngestStage(run.config(ingest={"source": "scenes"})).plan(run.io(), 10)


def test_a_larger_count_keeps_the_parts_that_were_there(run: Run) -> None:
    def plan(count: int) -> list[Slice]:
        return IngestStage(run.config(ingest={"source": "scenes", "count": count})).plan(run.io(), 10)

    assert plan(35)[:2] == plan(20)
