from __future__ import annotations

import hashlib
import tarfile

import pytest

from stages.ingest.stage import IngestStage
from stages.stage import UserError


def test_scenes_become_pairs_gold_and_addressed_images(run):
    pairs = run.ingest(source="scenes", split="eval", count=5, seed=3, part_size=2)
    assert [pair["key"] for pair in pairs] == [
        "000000000000",
        "000000000001",
        "000000100000",
        "000000100001",
        "000000200000",
    ]
    assert [run.results[part].counts.in_ for part in range(3)] == [2, 2, 1]
    assert {pair["license"] for pair in pairs} == {"OFL-1.1"}  # of the atlas: sources/scenes/LICENSE-OFL.txt
    gold = run.rows("gold")
    assert [row["key"] for row in gold] == [pair["key"] for pair in pairs]
    assert any(row["boxes"] for row in gold)
    for pair in pairs:
        assert hashlib.sha256(run.image(pair)).hexdigest() == pair["sha256"]
    with tarfile.open(run.root / "images/part-0000001.tar") as tar:
        assert tar.getnames() == [f"{pair['key']}.jpg" for pair in pairs[2:4]]
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in tar} == {(0, 0, 0, 0o644)}


def test_scene_pairs_are_those_of_the_drawing(run):
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


def test_scenes_need_a_count(run):
    with pytest.raises(UserError, match=r"ingest\.count"):
        IngestStage(run.config(ingest={"source": "scenes"})).plan(run.io(), 10)


def test_a_larger_count_keeps_the_parts_that_were_there(run):
    def plan(count):
        return IngestStage(run.config(ingest={"source": "scenes", "count": count})).plan(run.io(), 10)

    assert plan(35)[:2] == plan(20)
