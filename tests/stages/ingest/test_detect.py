"""What kind of source it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.config import IngestConfig
from stages.ingest.detect import detect
from stages.ingest.listing import Unclear
from stages.stage import UserError
from tests.stages.conftest import DiskIO

COCO = json.dumps({"images": [{"id": 1}], "annotations": [{"caption": "a", "image_id": 1}]})
KEYED = json.dumps({"images": {"1": {}}, "annotations": {"5": {"caption": "a", "image_id": 1}}})
LIST = json.dumps([{"caption": "a", "image": "1.jpg"}], indent=1)
ODVG = json.dumps({"filename": "1.jpg", "grounding": {"caption": "a"}})
LINE = json.dumps({"caption": "a"})
TABLE = "image,caption\n1.jpg,a\n"


def lay_out(root: Path, *names: str) -> None:
    """Empty files, or with a content after `=`."""
    for entry in names:
        name, _, content = entry.partition("=")
        path = root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith(".parquet"):
            images = {content: [b"x"]} if content else {}
            pq.write_table(pa.table({"key": ["1"], "status": ["success"], "caption": ["a"], **images}), path)
        else:
            path.write_text(content)


def kind(root: Path, source: str = "", **options: Any) -> str:
    path = root / "in" / source
    return detect(IngestConfig(source=str(path), **options), DiskIO(root))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["00000.tar", "00000.parquet", "00000_stats.json"], "webdataset"),
        (["A.TAR"], "webdataset"),
        (["00000/000.jpg", "00000/000.txt", "00000/000.json", "00000.parquet", "00000_stats.json"], "folder"),
        (["00000.parquet=jpg", "00000_stats.json"], "table"),
        (["A.CSV=" + TABLE], "table"),
        (["train/metadata.jsonl=" + LINE, "train/1.jpg", "train/notes.txt"], "table"),
        (["a.jsonl=" + ODVG, "1.jpg"], "odvg"),
        (["captions.json=" + COCO, "images/1.jpg"], "coco"),
        (["captions.json=" + KEYED, "images/1.jpg"], "coco"),
        (["captions.json=" + LIST, "images/1.jpg"], "table"),
        (["annotations/captions_val2017.json=" + COCO, "annotations/instances_val2017.json", "val2017/1.jpg"], "coco"),
        (
            ["dataset_flickr8k.json=" + json.dumps({"images": [{"sentences": []}], "dataset": "x"}), "Images/1.jpg"],
            "table",
        ),
        (["captions.txt=" + TABLE, "Images/1.jpg"], "table"),
        (["Flickr8k.token.txt=1.jpg#0\ta", "Images/1.jpg", "readme.txt"], "table"),
        (["results.token=1.jpg#0\ta", "images/1.jpg"], "table"),
        (["0.jpg", "0.txt"], "folder"),
        (["0.JPG", "0.TXT"], "folder"),
        (["0.jpg", "0.jpg.txt"], "folder"),
        (["0.jpg", "0.caption"], "folder"),
        (["0.jpg", "0.json"], "folder"),
        (["0.jpg", "0.txt", "1.jpg", "README.md"], "folder"),
        (["0.jpg", "0.txt", "dataset_info.json={}"], "folder"),
        (["captions.txt=" + TABLE, "Images/1.jpg", 'info.json={"a": [{"b": 1}]}'], "table"),
        (["a.json=" + LIST, "1.jpg"], "table"),
        (["a.json=" + COCO, "1.jpg"], "coco"),
    ],
)
def test_folders(tmp_path: Path, names: list[str], expected: str) -> None:
    lay_out(tmp_path, *names)
    assert kind(tmp_path) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.tar", "b.csv"], "it could be table or webdataset"),
        (["a.tar", "captions.json=" + COCO], "it could be coco or webdataset"),
        (["a.csv", "captions.json=" + COCO], "it could be coco or table"),
        (["0.jpg", "0.txt", "metadata.csv"], "it could be folder or table"),
        (["a.tfrecord", "b.arrow"], r"2 files \(\.arrow, \.tfrecord\), none of a known kind with captions"),
    ],
)
def test_what_could_be_two_things_asks(tmp_path: Path, names: list[str], message: str) -> None:
    lay_out(tmp_path, *names)
    with pytest.raises(Unclear, match=f"{message}; set ingest.format$"):
        kind(tmp_path)


def test_images_without_captions_are_told_where_to_put_them(tmp_path: Path) -> None:
    lay_out(tmp_path, "0.jpg", "1.png")
    message = r"2 files \(\.jpg, \.png\), none of a known kind with captions; set ingest.format, or give each image its"
    with pytest.raises(Unclear, match=f"{message} caption: in a .txt of its name beside it, or in a CSV"):
        kind(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.tar", "", "webdataset"),
        ("a.csv", "", "table"),
        ("a.tsv.gz", "", "table"),
        ("a.jsonl", LINE, "table"),
        ("a.JSONL", ODVG, "odvg"),
        ("a.json", COCO, "coco"),
        ("a.json", KEYED, "coco"),
        ("a.json", LIST, "table"),
        ("captions.json", LIST, "table"),
        ("a.json", json.dumps({"info": {}, "data": [{"caption": "x"}]}), "table"),
        ("a.json", "{broken", "coco"),
        ("a.json", json.dumps({"info": {}, "annotations": [{"caption": "x", "url": "http://x"}]}), "table"),  # RedCaps
        ("a.json", json.dumps({"annotations": [{"caption": "x"}], "images": [{"id": 1}]}), "coco"),
        ("captions.json", json.dumps({"images": []}), "coco"),
        ("captions.txt", TABLE, "table"),
        ("captions", TABLE, "table"),
    ],
)
def test_files(tmp_path: Path, name: str, content: str, expected: str) -> None:
    lay_out(tmp_path, f"{name}={content}")
    assert kind(tmp_path, name) == expected


@pytest.mark.parametrize(("name", "content"), [("a.jpg", "x"), ("a.arrow", "ARROW1\0\0"), ("a.zip", "PK\0\0")])
def test_files_of_no_known_kind(tmp_path: Path, name: str, content: str) -> None:
    lay_out(tmp_path, f"{name}={content}")
    with pytest.raises(UserError, match=r"ingest\.format: .* is a file of no known kind"):
        kind(tmp_path, name)


@pytest.mark.parametrize("shard", ["00000.tar", "00000/1.jpg"])
def test_a_sidecar_alone_says_where_the_images_are(tmp_path: Path, shard: str) -> None:
    lay_out(tmp_path, "00000.parquet", shard)
    with pytest.raises(Unclear, match=r"is the sidecar of 00000(\.tar)?, which has the images; set ingest\.source to"):
        kind(tmp_path, "00000.parquet")
    (tmp_path / "in" / shard).unlink()
    if shard.endswith("jpg"):
        (tmp_path / "in/00000").rmdir()
    for source in ("00000.parquet", ""):
        with pytest.raises(Unclear, match=r"neither its tar nor an image is there; .* ingest\.format to table"):
            kind(tmp_path, source)


def test_the_real_inputs(shared: Path, tmp_path: Path) -> None:
    for name, expected in (
        ("captions/conceptual_captions_val.tsv", "table"),
        ("flickr8k-wds", "webdataset"),
        ("coco-mini", "coco"),
        ("coco-mini/captions.json", "coco"),
    ):
        assert detect(IngestConfig(source=str(shared / name)), DiskIO(tmp_path)) == expected
