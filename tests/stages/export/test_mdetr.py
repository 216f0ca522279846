"""MDETR JSON is read back by a small reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.stages.export.exported import Exported, same, truth


def test_mdetr(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("mdetr", min_score=0.3)
    data = export.json("mdetr.json")
    assert data["categories"] == [{"supercategory": "object", "id": 1, "name": "object"}]
    images = {image["id"]: image for image in data["images"]}
    found = []
    for annotation in data["annotations"]:
        image = images[annotation["image_id"]]
        ((start, end),) = annotation["tokens_positive"]
        assert [[start, end]] in image["tokens_positive_eval"]
        x, y, w, h = annotation["bbox"]
        found.append((image["key"], start, end, x, y, x + w, y + h, annotation["score"]))
    for image in images.values():
        assert image["tokens_negative"] == [[0, len(image["caption"])]]
    same(found, truth(run, min_score=0.3))
    assert len(found) > len(truth(run))
