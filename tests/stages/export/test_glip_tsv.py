"""GLIP's TSV files are read back by their line index."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import yaml

from tests.stages.export.exported import Exported, captions, same, truth


def test_glip_tsv_by_its_line_index(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("glip-tsv")
    files = yaml.safe_load(export.path("train.yaml").read_text())
    rows: dict[str, list[tuple[str, str]]] = {}
    for kind, name in files.items():
        data = export.path(name).read_bytes()
        offsets = [int(line) for line in export.path(name.replace(".tsv", ".lineidx")).read_text().split()]
        rows[kind] = []
        for offset in offsets:
            key, value = data[offset:].split(b"\n", 1)[0].decode().split("\t")
            rows[kind].append((key, value))
        assert len(offsets) == data.count(b"\n")
    found = []
    for (key, image), (label_key, label), (size_key, size) in zip(rows["img"], rows["label"], rows["hw"]):
        assert key == label_key == size_key
        assert base64.b64decode(image) == (run.root / "images" / f"{key}.jpg").read_bytes()
        record = json.loads(label)
        assert json.loads(size) == [{"height": record["img_h"], "width": record["img_w"]}]
        assert record["caption"] == captions(run)[key]
        for box, score, spans in zip(record["bboxes"], record["scores"], record["tokens_positive"]):
            found.append((key, *spans[0], *box, score))
    same(found, truth(run))
