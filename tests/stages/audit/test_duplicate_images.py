"""The images of the part on duplicates are those of the run and of the benchmark, shrunk."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.run.config import load_config
from pipeline.run.existing import read_run
from stages.audit.duplicate_images import SIDE, load, mentions
from stages.audit.samples import shrink
from tests.stages.audit.curated import ODD_NAME, perceptual_images


def figures(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "report" / "stats.json").read_text("utf-8"))["curation"]
    return found


def config_of(run: Path) -> Any:
    return load_config(None, (), str(run))


def source_ids(run: Path) -> dict[str, str]:
    rows = [row for path in sorted((run / "pairs").glob("*")) for row in pq.read_table(path).to_pylist()]
    return {row["key"]: row["source_id"] for row in rows}


def test_each_image_is_its_own(perceptual: Path) -> None:
    found, config = figures(perceptual), config_of(perceptual)
    thumbnails = load(read_run(str(perceptual)), found, config)
    images = {name: data for own in perceptual_images().values() for name, data in own.items()}
    names = source_ids(perceptual)
    keys = {name for name in mentions(found) if ":" not in name}
    assert len(keys) > 15
    for key in keys:
        data, caption = images[names[key].rpartition("/")[2]]
        own = thumbnails[key]
        assert own.webp == base64.b64encode(shrink(data, SIDE, config.ingest.max_pixels)).decode()
        assert (own.source_id, own.caption, own.missing) == (names[key], caption, None)
        assert max(Image.open(io.BytesIO(base64.b64decode(own.webp))).size) <= SIDE
    assert f"laion/part/{ODD_NAME}" in {thumbnails[key].source_id for key in keys}


def test_the_image_of_a_benchmark_is_read_by_its_readers(perceptual: Path) -> None:
    found, config = figures(perceptual), config_of(perceptual)
    thumbnails = load(read_run(str(perceptual)), found, config)
    names = {name: own for name, own in thumbnails.items() if name.startswith("val:2017:")}
    assert sorted(names) == ["val:2017:2.jpg", "val:2017:<b>1.jpg"]
    folder = perceptual.parent / "val2017"
    for name, own in names.items():
        data = (folder / name.removeprefix("val:2017:")).read_bytes()
        assert own.webp == base64.b64encode(shrink(data, SIDE, config.ingest.max_pixels)).decode()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("gone", "no such file or folder"),
        ("image gone", "the benchmark has it no more"),
        ("too large", "image_too_large"),
    ],
)
def test_what_cannot_be_shown_says_why(perceptual: Path, tmp_path: Path, change: str, reason: str) -> None:
    folder = tmp_path / "val2017"
    shutil.copytree(perceptual.parent / "val2017", folder)
    config = config_of(perceptual)
    if change == "gone":
        shutil.rmtree(folder)
    elif change == "image gone":
        (folder / "2.jpg").unlink()
    else:
        Image.new("RGB", (300, 300)).save(folder / "2.jpg")
        config = config.model_copy(update={"ingest": config.ingest.model_copy(update={"max_pixels": 80_000})})
    against = [entry.model_copy(update={"source": str(folder)}) for entry in config.curate.against]
    config = config.model_copy(update={"curate": config.curate.model_copy(update={"against": tuple(against)})})
    own = load(read_run(str(perceptual)), figures(perceptual), config)["val:2017:2.jpg"]
    assert own.webp is None and own.missing is not None and reason in own.missing
