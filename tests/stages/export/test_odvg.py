"""ODVG lines are read back by a small reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stages.export.exported import Exported, captions, check_images, same, truth


def test_odvg_has_one_region_per_span(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("odvg")
    found, names = [], {}
    for line in export.path("odvg.jsonl").read_text("utf-8").split("\n")[:-1]:
        record = json.loads(line)
        assert set(record) == {"filename", "height", "width", "grounding"}
        key = Path(record["filename"]).stem
        names[key] = record["filename"]
        caption = record["grounding"]["caption"]
        assert caption == captions(run)[key]
        spans = [tuple(region["tokens_positive"][0]) for region in record["grounding"]["regions"]]
        assert len(set(spans)) == len(spans)
        for region in record["grounding"]["regions"]:
            ((start, end),) = region["tokens_positive"]
            assert region["phrase"] == caption[start:end]
            many = isinstance(region["bbox"][0], list)
            boxes, scores = (region["bbox"], region["score"]) if many else ([region["bbox"]], [region["score"]])
            assert len(boxes) == len(scores) and (len(boxes) > 1) == many
            found += [(key, start, end, *box, score) for box, score in zip(boxes, scores)]
    same(found, truth(run))
    check_images(export, names)
