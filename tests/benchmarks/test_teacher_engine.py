"""A GLIP-T checkpoint as it is released runs in the engine: file, photos, Ray, labels, audit, accounting."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import teacher_engine
from benchmarks.official_weights import PARITY
from model.glip import Glip
from stages.images import decode_rgb

COUNT = 3


@pytest.mark.slow
def test_a_released_checkpoint_labels_photos_in_the_engine(tmp_path: Path) -> None:
    if not PARITY.is_dir() or not teacher_engine.PHOTOS.is_dir():
        pytest.skip("needs the official key layout and the photos beside the repository, in ../shared")
    made = teacher_engine.run(tmp_path, COUNT)  # verified already
    captions = json.loads((tmp_path / "captions.json").read_text())
    sizes = {(image["height"], image["width"]) for image in captions["images"]}

    rows = teacher_engine.labels(made)
    assert [row["key"] for row in rows] == ["000000000000", "000000000001", "000000100000"]
    assert {(row["height"], row["width"]) for row in rows} == sizes
    for row in rows:
        assert row["boxes"] and not row["dropped"]
        for box in row["boxes"]:
            assert 0.1 <= box["score"] <= 1
            assert 0 <= box["x1"] < box["x2"] <= row["width"] and 0 <= box["y1"] < box["y2"] <= row["height"]

    records = list(teacher_engine.commits(made))
    assert [record["counts"] for record in records] == [
        {"in": 2, "out": 2, "rejected": 0, "set_aside": {}},
        {"in": 1, "out": 1, "rejected": 0, "set_aside": {}},
    ]
    stats = json.loads((made / "report" / "stats.json").read_text())
    assert stats["pairs"] == COUNT and stats["pairs_with_boxes"] <= COUNT
    found = teacher_engine.figures(made)
    assert found["worker_peak_memory_mib"] > 900  # 231.8 M parameters in fp32
    assert found["pictures"] == COUNT

    # The last photo had a batch of its own: the model alone, given the same file, says the same.
    phrases = pq.read_table(made / "phrases" / "part-0000001.parquet").to_pylist()[0]
    photo = teacher_engine.PHOTOS / "images" / captions["images"][2]["file_name"]
    glip = Glip.from_file("glip-t", tmp_path / "glip_t.pth")
    spans = [[(phrase["start"], phrase["end"])] for phrase in phrases["phrases"]]
    (alone,) = glip.ground([decode_rgb(photo.read_bytes(), 10**7)], [phrases["caption"]], [spans], score_floor=0.1)
    expected = sorted((round(score, 4), phrase) for score, phrase in zip(alone.scores.tolist(), alone.phrase.tolist()))
    assert sorted((round(box["score"], 4), box["phrase"]) for box in rows[2]["boxes"]) == expected
