"""The folder as `datasets` itself loads it, without a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from stages.export import hf
from tests.stages.export.exported import Exported
from tests.stages.export.odd_run import CAPTIONS, LICENSES, odd_run, store_images
from tests.stages.export.readers import Reading
from tests.stages.export.test_readers import wrong_pixels


@pytest.fixture
def run(tmp_path: Path) -> Any:
    run = odd_run(tmp_path / "odd")
    store_images(run)
    return run


def test_load_dataset_reads_the_folder(
    exported: Callable[..., Exported], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hf, "GROUP_BYTES", 1)  # a row group a pair,
    monkeypatch.setattr(hf, "FILE_BYTES", 2)  # and several files
    export = exported("hf")
    assert export.result["files"] == 6  # a pair a file, and the card
    loaded = datasets.load_dataset(str(export.folder / "."), cache_dir=str(tmp_path / "cache"), split="train")
    assert isinstance(loaded.features["image"], datasets.Image) and len(loaded) == len(CAPTIONS)
    for number, row in enumerate(loaded):
        image, caption = CAPTIONS[number]
        assert (row["key"], row["caption"], row["license"]) == (f"{number:012d}", caption, LICENSES[image % 3])
        assert (row["source_id"], row["teacher"]) == (f"web/row#{number}", "glip-nano")
        opened = np.asarray(row["image"].convert("RGB"))
        assert opened.shape[:2] == (row["height"], row["width"])
        texts = [row["phrases"][box["phrase"]]["text"] for box in row["boxes"]]
        boxes = [tuple(box["bbox"]) for box in row["boxes"]]
        assert wrong_pixels(Reading(opened, caption, list(zip(boxes, texts)))) == []
        for phrase in row["phrases"]:
            assert caption[phrase["start"] : phrase["end"]] == phrase["text"]
            assert phrase["norm"].endswith(phrase["head"])


def test_the_card_says_what_is_inside(exported: Callable[..., Exported]) -> None:
    export = exported("hf")
    _, front, text = export.path("README.md").read_text("utf-8").split("---\n", 2)
    read = yaml.safe_load(front)
    assert read["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.parquet"}]
    assert read["tags"][-1] == "parquet" and read["size_categories"] == ["n<1K"]
    assert "5 pairs, 14 boxes." in text
    assert f"| `{LICENSES[0]}` | 3 |" in text and "| `CC0` | 1 |" in text and "| not stated | 1 |" in text


def test_features_and_arrow_types_agree(exported: Callable[..., Exported]) -> None:
    import datasets

    schema = pq.read_schema(exported("hf").path("data/train-00000.parquet"))
    features = datasets.Features.from_arrow_schema(schema)
    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    assert features.arrow_schema.field("image").type == image
    assert [features.arrow_schema.field(name).type for name in schema.names] == schema.types


def test_a_run_without_boxes_is_a_table_without_rows(make_run: Callable[..., Any], tmp_path: Path) -> None:
    from stages.export.formats import export
    from tests.stages.export.creating import creates

    run = make_run(tmp_path / "run").fill(3)
    export(run.all_parts(), "hf", creates(tmp_path / "out"), config=run.config, min_score=1.0)
    assert pq.read_table(tmp_path / "out/data/train-00000.parquet").num_rows == 0
    assert "0 pairs, 0 boxes." in (tmp_path / "out/README.md").read_text("utf-8")
