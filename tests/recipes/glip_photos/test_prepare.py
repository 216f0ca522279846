"""What the gold files may hold, checked against the lists of what must never be trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recipes.glip_photos.prepare import file_names, read, without

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
GOLD = {"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}], "categories": []}
BOXES = [{"id": 5, "image_id": 1}, {"id": 6, "image_id": 2}, {"id": 7, "image_id": 2}]


def test_held_out_photos_go_with_their_boxes() -> None:
    gold: dict[str, Any] = {**GOLD, "annotations": BOXES}
    left = without(gold, {"b.jpg"})
    assert [row["file_name"] for row in left["images"]] == ["a.jpg"]
    assert [row["id"] for row in left["annotations"]] == [5]
    assert len(gold["annotations"]) == 3


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared")
def test_training_photos_are_none_of_the_held_out_ones() -> None:
    photos = SHARED / "photos"
    never = set((photos / "never_train.txt").read_text().split())
    assert len(never) > 900 and file_names(photos, "entities_test") <= never
    for name in ("entities_train", "detector_labels"):
        files = file_names(photos, name)
        assert len(files) > 5000
        assert not files & (never | file_names(photos, "entities_dev"))
    development = {row["file_name"] for row in read(SHARED / "coco-mini" / "instances.json")["images"]}
    left = without(read(photos / "coco_instances.json"), development)
    assert len(development) == 80 and len(left["images"]) == 214
    json.dumps(left)
