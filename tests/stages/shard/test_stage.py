from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from schemas.commit import Counts
from schemas.records import PAIRS, PHRASES, PSEUDO
from stages.shard.stage import ShardStage
from tests.stages.conftest import DiskIO, Run


@pytest.fixture
def scenes(run: Run) -> list[dict[str, Any]]:
    """A run of 7 scenes in two parts with one phrase and one box each, but for the second pair, which has none."""
    pairs = run.ingest(source="scenes", split="web", count=7, part_size=5)
    for part in (0, 1):
        mine = [pair for pair in pairs if int(pair["key"][:7]) == part]
        write_labels(run.io(part), mine, without_boxes={pairs[1]["key"]})
    return pairs


def write_labels(io: DiskIO, pairs: list[dict[str, Any]], without_boxes: Collection[str] = ()) -> None:
    phrases, pseudo = [], []
    for pair in pairs:
        end = len(pair["caption"])
        phrase = {"start": 0, "end": end, "text": pair["caption"], "head": "x", "norm": "x"}
        box = {"phrase": 0, "x1": 1.1, "y1": 2, "x2": 30.3, "y2": 40, "score": 0.7}
        phrases.append({"key": pair["key"], "caption": pair["caption"], "phrases": [phrase], "dropped": []})
        boxes = [] if pair["key"] in without_boxes else [box]
        pseudo.append({"key": pair["key"], "width": pair["width"], "height": pair["height"], "boxes": boxes})
    io.write("phrases", pa.Table.from_pylist(phrases, schema=PHRASES))
    io.write("pseudo", pa.Table.from_pylist(pseudo, schema=PSEUDO))


def shard(run: Run, part: int = 0, **shard: Any) -> Counts:
    config = run.config(corpus="demo", label={"teacher": "glip-nano", "weights_sha256": "0a" * 32}, shard=shard)
    return ShardStage(config).run_part(run.io(part)).counts


def samples(path: Path) -> list[tuple[str, bytes, dict[str, Any]]]:
    with tarfile.open(path) as tar:
        members = [(member.name, tar.extractfile(member).read()) for member in tar]
    return [(name, data, json.loads(record)) for (name, data), (_, record) in zip(members[::2], members[1::2])]


def test_shards_hold_the_original_bytes_and_the_record(run: Run, scenes: list[dict[str, Any]]) -> None:
    counts = shard(run, samples_per_shard=3)
    assert (counts.in_, counts.out, counts.set_aside) == (5, 4, {"no_boxes": 1})
    found = [samples(run.root / "shards" / name) for name in ("0000000-000.tar", "0000000-001.tar")]
    assert [len(part) for part in found] == [3, 1]
    kept = [pair for pair in scenes[:5] if pair["key"] != scenes[1]["key"]]
    for pair, (name, data, record) in zip(kept, found[0] + found[1], strict=True):
        assert name == f"demo-{pair['key']}.jpg"
        assert data == run.image(pair)
        assert record["phrases"] == [{"start": 0, "end": len(pair["caption"]), "text": pair["caption"]}]
        stored = [float(pa.scalar(value, pa.float32()).as_py()) for value in (1.1, 2, 30.3, 40)]
        assert record["boxes"] == [{"phrase": 0, "bbox": stored, "score": pa.scalar(0.7, pa.float32()).as_py()}]
        for field in ("key", "caption", "width", "height", "orientation", "source_id", "license"):
            assert record[field] == pair[field]
        assert record["teacher"] == "glip-nano@0a0a0a0a0a0a"


def test_index_lists_the_shards_of_all_parts(run: Run, scenes: list[dict[str, Any]]) -> None:
    shard(run, 0, samples_per_shard=3)
    shard(run, 1, samples_per_shard=3)
    assert ShardStage(run.config()).merge(run.io()) == {"shards": 3, "samples": 6}
    index = json.loads((run.root / "shards/index.json").read_text())["shards"]
    assert [(entry["file"], entry["samples"]) for entry in index] == [
        ("0000000-000.tar", 3),
        ("0000000-001.tar", 1),
        ("0000001-000.tar", 2),
    ]
    for entry in index:
        data = (run.root / "shards" / entry["file"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])


def test_webdataset_loads_them_by_its_public_api(run: Run, scenes: list[dict[str, Any]]) -> None:
    webdataset = pytest.importorskip("webdataset")
    shard(run, samples_per_shard=3)
    urls = [str(run.root / "shards" / name) for name in ("0000000-000.tar", "0000000-001.tar")]
    loaded = list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("jpg;png;webp", "json"))
    assert [record["key"] for _, record in loaded] == [pair["key"] for pair in scenes[:5] if pair is not scenes[1]]
    assert all(image.shape == (record["height"], record["width"], 3) for image, record in loaded)


def test_the_same_part_gives_the_same_bytes(run: Run, scenes: list[dict[str, Any]]) -> None:
    shard(run)
    first = (run.root / "shards/0000000-000.tar").read_bytes()
    shard(run)
    assert (run.root / "shards/0000000-000.tar").read_bytes() == first


def test_changed_missing_and_absent_images(run: Run, scenes: list[dict[str, Any]]) -> None:
    images = run.root / "images/part-0000000.tar"
    data = bytearray(images.read_bytes())
    data[scenes[0]["image"]["offset"] + 700] ^= 1
    images.write_bytes(data)
    pairs = [dict(pair) for pair in scenes[:5]]
    pairs[2]["image"] = {"uri": "images/nowhere.tar", "offset": 0, "length": 9}
    pairs[3]["image"] = None
    run.io().write("pairs", pa.Table.from_pylist(pairs, schema=PAIRS))
    counts = shard(run)
    assert (counts.in_, counts.out, counts.rejected) == (5, 1, 2)
    assert counts.set_aside == {"no_image": 1, "no_boxes": 1}
    assert counts.balanced
    assert run.rejects("shard") == {pairs[0]["source_id"]: "image_changed", pairs[2]["source_id"]: "missing_image"}


def test_a_part_without_samples_has_no_shard(run: Run, scenes: list[dict[str, Any]]) -> None:
    write_labels(run.io(), scenes[:5], without_boxes={pair["key"] for pair in scenes})
    assert shard(run).set_aside == {"no_boxes": 5}
    shard(run, 1)
    assert ShardStage(run.config()).merge(run.io()) == {"shards": 1, "samples": 2}
    assert sorted(path.name for path in (run.root / "shards").glob("*.tar")) == ["0000001-000.tar"]
