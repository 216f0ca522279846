"""The formats that there are; what ingest reads itself comes back as true boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from schemas.config import Config
from stages.export.formats import FORMATS, export
from stages.stage import UserError
from tests.stages.export.exported import Exported, captions, truth


def test_what_cannot_be_exported(shapes: Callable[..., Any], exported: Callable[..., Exported]) -> None:
    with pytest.raises(UserError, match="no format 'voc'; there are coco"):
        exported("voc")
    early = shapes().fill(3, until="labels")
    with pytest.raises(UserError, match="run `phrasebox filter` first"):
        export(early.all_parts(), "coco", open, config=early.config)  # type: ignore[arg-type]


def test_the_formats_that_there_are() -> None:
    assert set(FORMATS) == {
        "coco",
        "coco-text",
        "odvg",
        "grit",
        "mdetr",
        "glip-tsv",
        "label-studio",
        "fiftyone",
        "qwen2.5-vl",
        "qwen3-vl",
        "paligemma",
        "florence-2",
        "kosmos-2",
        "shikra",
        "ferret",
        "gligen",
        "yolo",
        "hf",
        "card",
    }


@pytest.mark.parametrize("format", ["odvg", "grit"])
def test_ingest_reads_it_back_as_true_boxes(
    exported: Callable[..., Exported], run: Any, tmp_path_factory: pytest.TempPathFactory, format: str
) -> None:
    from pipeline.storage.files import PartFiles, SourceFiles
    from pipeline.storage.local import LocalStorage
    from stages.ingest.stage import IngestStage

    export = exported(format)
    file = {"odvg": "odvg.jsonl", "grit": "grit-00000.parquet"}[format]
    again = tmp_path_factory.mktemp("again")
    ingest = {"source": str(export.path(file)), "format": format}
    if format == "grit":  # its rows name no file: images are found by key
        ingest["images"] = str(export.folder / "images")
    config = Config.model_validate({"run": str(again), "part_size": 1000, "ingest": ingest})
    config = config.model_copy(update={"ingest": config.ingest.model_copy(update=IngestStage.resolve(config))})
    storage = LocalStorage(str(again))
    stage = IngestStage(config)
    found = []
    for part, piece in enumerate(stage.plan(SourceFiles(storage), config.part_size)):
        files = PartFiles(storage, part, piece, f"again-{part}", lambda done, total, message: None, {})
        result = stage.run_part(files)
        files.publish()
        assert result.counts.rejected == 0
        pairs = {row["key"]: row for row in files.written["pairs"].to_pylist()}
        for row in files.written["gold"].to_pylist():
            pair = pairs[row["key"]]
            name = Path(pair["image"]["uri"]).stem
            assert pair["source_id"] == {"odvg": f"images/{name}.jpg", "grit": name}[format]
            # ODVG's readers strip captions, so that those of an export have no outer space.
            whole = captions(run)[name]
            assert pair["caption"] == (whole.strip() if format == "odvg" else whole)
            shift = whole.index(pair["caption"])
            for box in row["boxes"]:
                span = row["spans"][box["span"]]
                found.append(
                    (name, span["start"] + shift, span["end"] + shift, box["x1"], box["y1"], box["x2"], box["y2"])
                )
    expected = [box[:7] for box in truth(run)]
    assert len(found) == len(expected)
    for a, b in zip(sorted(found), sorted(expected)):
        assert a[:3] == b[:3] and a[3:] == pytest.approx(b[3:], abs=0.01)
