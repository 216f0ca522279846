from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import webdataset as wds
from PIL import Image

from schemas.commit import Counts
from schemas.records import MASKS, PAIRS, PHRASES, PSEUDO
from stages.images import decode_rgb, sniff
from stages.rle import encode
from stages.shard.stage import ShardStage
from tests.stages.conftest import DiskIO, Run
from tests.stages.image_files import image_file
from tests.stages.tars import write


@pytest.fixture
def scenes(run: Run) -> list[dict[str, Any]]:
    """A run of 7 scenes in two parts with one phrase and one box each, but for the second pair, which has none."""
    pairs = run.ingest(source="scenes", split="web", count=7, part_size=5)
    for part in (0, 1):
        mine = [pair for pair in pairs if int(pair["key"][:7]) == part]
        write_labels(run.io(part), mine, without_boxes={pairs[1]["key"]})
    return pairs


Corners = tuple[float, float, float, float]


def write_labels(
    io: DiskIO,
    pairs: list[dict[str, Any]],
    without_boxes: Collection[str] = (),
    box_of: Callable[[dict[str, Any]], Corners] = lambda pair: (1.1, 2, 30.3, 40),
) -> None:
    phrases, pseudo = [], []
    for pair in pairs:
        end = len(pair["caption"])
        phrase = {"start": 0, "end": end, "text": pair["caption"], "head": "x", "norm": "x"}
        box = {"phrase": 0, **dict(zip(("x1", "y1", "x2", "y2"), box_of(pair))), "score": 0.7}
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


@pytest.fixture
def turned(run: Run, tmp_path: Path) -> list[dict[str, Any]]:
    """Five images, the first and the fourth of them turned, with the quarter that is red as their box."""
    files = {"0.jpg": image_file(orientation=6, quality=95), "1.jpg": image_file(quality=95)}
    files |= {"2.png": image_file("PNG"), "3.webp": image_file("WEBP", orientation=3, lossless=True)}
    files["4.jpg"] = image_file(orientation=1, quality=95)
    for name, data in files.items():
        write(tmp_path / "in" / name, data)
        write(tmp_path / "in" / f"{name.partition('.')[0]}.txt", b"a red corner")
    pairs = run.ingest(source=str(tmp_path / "in"), format="folder")
    assert [pair["orientation"] for pair in pairs] == [6, 1, 1, 3, 1]
    write_labels(run.io(0), pairs, box_of=red_box(run))
    return pairs


def red_box(run: Run) -> Callable[[dict[str, Any]], Corners]:
    """The corner of a pair's upright image that is red."""

    def find(pair: dict[str, Any]) -> Corners:
        red = np.abs(decode_rgb(run.image(pair), 10_000) - [220.0, 30.0, 30.0]).sum(2) < 60
        rows, columns = (np.flatnonzero(red.any(axis)) for axis in (1, 0))
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1

    return find


def test_upright_shards_encode_turned_images_again_and_no_others(run: Run, turned: list[dict[str, Any]]) -> None:
    shard(run, upright=True)
    found = samples(run.root / "shards" / "0000000-000.tar")
    assert [(record["orientation"], record["source_orientation"]) for _, _, record in found] == [
        (1, 6), (1, 1), (1, 1), (1, 3), (1, 1),
    ]  # fmt: skip
    assert len({tuple(record) for _, _, record in found}) == 1  # readers take the keys of the first ones for all
    for pair, (name, data, record) in zip(turned, found, strict=True):
        assert (data == run.image(pair)) == (pair["orientation"] == 1)
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (record["width"], record["height"]) and name.endswith(f".{sniff(data)}")


def test_stored_shards_say_nothing_new(run: Run, turned: list[dict[str, Any]]) -> None:
    shard(run)
    assert len(turned) > 1
    for pair, (_, data, record) in zip(turned, samples(run.root / "shards" / "0000000-000.tar"), strict=True):
        assert data == run.image(pair) and record["orientation"] == pair["orientation"]
        assert "source_orientation" not in record


def test_webdatasets_own_decoder_sees_what_the_boxes_are_of(run: Run, turned: list[dict[str, Any]]) -> None:
    """`decode("pil")` does not turn images: boxes fit the pixels of upright shards alone."""
    right = {}
    for upright in (False, True):
        shard(run, upright=upright)
        reader = wds.WebDataset(str(run.root / "shards" / "0000000-000.tar"), shardshuffle=False)
        right[upright] = []
        for sample in reader.decode("pil"):
            pixels = np.asarray(next(sample[name] for name in ("jpg", "png", "webp") if name in sample))
            right[upright].append(on_red(pixels, sample["json"]["boxes"][0]["bbox"]))
    assert right == {False: [False, True, True, False, True], True: [True] * 5}


def test_datasets_reads_shards_of_one_image_format(run: Run, turned: list[dict[str, Any]], tmp_path: Path) -> None:
    """`datasets.load_dataset("webdataset")`: columns are the suffixes, and the JSON's types those of five samples."""
    datasets = pytest.importorskip("datasets")
    keep = {pair["key"] for pair in turned if pair["source_id"][0] in "014"}
    write_labels(run.io(0), turned, {pair["key"] for pair in turned} - keep, red_box(run))
    shard(run, upright=True)
    options = {"data_files": {"train": str(run.root / "shards" / "*.tar")}, "cache_dir": str(tmp_path / "cache")}
    rows = datasets.load_dataset("webdataset", **options)["train"]
    assert sorted(rows.column_names) == ["__key__", "__url__", "jpg", "json"]
    assert [row["__key__"] for row in rows] == [f"demo-{key}" for key in sorted(keep)]
    for row in rows:
        assert row["json"]["caption"] == "a red corner" and row["json"]["source_orientation"] in (1, 6)
        assert on_red(np.asarray(row["jpg"]), row["json"]["boxes"][0]["bbox"])


def test_datasets_needs_to_be_told_of_several_image_formats(
    run: Run, turned: list[dict[str, Any]], tmp_path: Path
) -> None:
    """As docs/exports.md says: by itself it takes the suffixes of the first samples for all, and refuses others."""
    datasets = pytest.importorskip("datasets")
    shard(run, upright=True)
    options = {"data_files": {"train": str(run.root / "shards" / "*.tar")}, "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(Exception, match="same prefix or the same types"):
        datasets.load_dataset("webdataset", **options)
    rows = datasets.load_dataset("webdataset", features=features(datasets), **options)["train"]
    for row in rows:
        (image,) = [row[name] for name in ("jpg", "png", "webp") if row[name] is not None]
        assert on_red(np.asarray(image.convert("RGB")), row["json"]["boxes"][0]["bbox"])
    assert len(rows) == 5 and rows[0]["json"]["license"] is None


def features(datasets: Any) -> Any:
    """The snippet of docs/exports.md, run from the page."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "exports.md").read_text("utf-8")
    code = page.partition("```python\nfrom datasets")[2].partition("```")[0]
    names: dict[str, Any] = {"load_dataset": lambda *_, **options: options["features"]}
    exec("from datasets" + code.replace(", load_dataset", ""), names)
    return names["rows"]


def on_red(pixels: np.ndarray, bbox: list[float]) -> bool:
    x1, y1, x2, y2 = (round(side) for side in bbox)
    under = pixels[y1:y2, x1:x2].reshape(-1, 3)
    return bool(len(under)) and bool(np.abs(np.median(under, axis=0) - [220, 30, 30]).sum() < 60)


def test_boxes_left_out_because_of_their_masks_are_noted(run: Run, scenes: list[dict[str, Any]]) -> None:
    empty = {"counts": encode(np.zeros((scenes[0]["height"], scenes[0]["width"]), np.bool_)), "score": 0.5}
    size = {"height": scenes[0]["height"], "width": scenes[0]["width"]}
    run.io().write("masks", pa.Table.from_pylist([{"key": scenes[0]["key"], "masks": [empty | size]}], schema=MASKS))
    config = run.config(filter={"max_mask_box_gap": 0.9}, mask={"model": "a/model"})
    result = ShardStage(config).run_part(run.io())
    assert result.notes == {"boxes_left_out": {"mask_box_gap": 1}}
    assert (result.counts.in_, result.counts.out, result.counts.set_aside) == (5, 3, {"no_boxes": 2})
