"""Images of benchmarks from all that they come in: folders, lists of COCO's kind, what ingest reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from schemas.config import Benchmark, IngestConfig
from stages.curate.benchmarks import Known, digest_of, format_of, name_of, read_benchmarks
from stages.curate.images import DIGEST
from stages.stage import UserError
from tests.stages.conftest import DiskIO
from tests.stages.curate.photographs import jpeg, photograph, write_pair
from tests.stages.tars import sample, tar

IMAGES = {f"{seed:03d}.jpg": jpeg(photograph(seed, (60, 40))) for seed in range(3)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train2017").mkdir()
    for name, data in IMAGES.items():
        (tmp_path / "train2017" / name).write_bytes(data)
    return tmp_path


def read(folder: Path, *benchmarks: dict[str, Any]) -> Known:
    against = [Benchmark.model_validate({**given, "source": str(folder / given["source"])}) for given in benchmarks]
    return read_benchmarks(DiskIO(folder), against, IngestConfig())


def names(known: Known) -> list[str]:
    """With each digest held to that of the image of this name."""
    for name, digest in zip(known.names, known.digest, strict=True):
        number = int("".join(letter for letter in name.rpartition(":")[2] if letter.isdigit())) % 100
        assert digest.tobytes() == hashlib.sha256(IMAGES[f"{number:03d}.jpg"]).digest()[:DIGEST]
    return known.names


def test_a_folder_of_images(folder: Path) -> None:
    (folder / "train2017/broken.jpg").write_bytes(b"no image")
    known = read(folder, {"source": "train2017"})
    assert names(known) == [f"train2017:{name}" for name in IMAGES] and known.unreadable == {"train2017": 1}
    assert len(known.bits) == len(known.thumbs) == 3


@pytest.mark.parametrize("key", ["file_name", "coco_url"])
def test_a_list_of_images(folder: Path, key: str) -> None:
    """COCO names the file, LVIS its address."""
    images = [{"id": 100 + number, key: f"train2017/{name}"} for number, name in enumerate(IMAGES)]
    images = [
        {**image, key: f"http://images.cocodataset.org/{image[key]}"} if key == "coco_url" else image
        for image in images
    ]
    images += [{"id": 7, "file_name": "../../secret.jpg"}, {"id": 8, "file_name": "gone.jpg"}]
    (folder / "lvis_val.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    known = read(folder, {"source": "lvis_val.json", "images": str(folder), "name": "LVIS"})
    assert names(known) == ["LVIS:100", "LVIS:101", "LVIS:102"] and known.unreadable == {"LVIS": 2}
    with pytest.raises(UserError, match="name the folder in which they lie"):
        read(folder, {"source": "lvis_val.json"})


def test_what_ingest_reads(folder: Path) -> None:
    (folder / "00000.tar").write_bytes(
        tar(*(member for name, data in IMAGES.items() for member in sample(name[:3], "a red ball", data)))
    )
    for name, data in IMAGES.items():
        write_pair(folder / "pairs", name[:3], data)
    lines = ["image,caption", *(f"{name},{caption}" for name in IMAGES for caption in ("a ball", "a box"))]
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    known = read(
        folder,
        {"source": "00000.tar", "name": "tar"},
        {"source": "pairs"},
        {"source": "captions.csv", "images": str(folder / "train2017")},
    )
    assert len(known.names) == 9 and len({bytes(row) for row in known.digest}) == 3
    assert [name.partition(":")[0] for name in known.names] == ["tar"] * 3 + ["pairs"] * 3 + ["captions"] * 3


def test_a_benchmark_without_images(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no image that can be read"):
        read(folder, {"source": "empty", "format": "images"})
    with pytest.raises(UserError, match="no such file"):
        read(folder, {"source": "nowhere"})
    assert read(folder).names == []


def test_how_a_benchmark_is_called_and_read(folder: Path) -> None:
    def benchmark(source: str, **more: str) -> Benchmark:
        return Benchmark.model_validate({"source": source, **more})

    assert name_of(benchmark("data/lvis_v1_val.json")) == "lvis_v1_val"
    assert name_of(benchmark("data/val2017/")) == "val2017" and name_of(benchmark("x", name="COCO")) == "COCO"
    files = DiskIO(folder)
    assert format_of(files, benchmark(str(folder / "train2017"))) == "images"
    assert format_of(files, benchmark("captions.json")) == "coco"
    write_pair(folder / "pairs", "a", photograph(1))
    assert format_of(files, benchmark(str(folder / "pairs"))) == "auto"
    assert format_of(files, benchmark("anything", format="table")) == "table"


def test_a_change_is_noticed(folder: Path) -> None:
    before = digest_of(str(folder / "train2017"))
    assert digest_of(str(folder / "train2017")) == before and digest_of("s3://bucket/val") == "s3://bucket/val"
    (folder / "train2017/new.jpg").write_bytes(b"")
    assert digest_of(str(folder / "train2017")) != before
    (folder / "list.json").write_text("{}")
    assert digest_of(str(folder / "list.json")) == hashlib.sha256(b"{}").hexdigest()
