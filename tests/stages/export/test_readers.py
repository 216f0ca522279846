"""Every reader that docs/exports.md names sees, under each box, what the phrase of the box says."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.stages.export.exported import Exported
from tests.stages.export.odd_run import CAPTIONS, COLOURS, IMAGES, odd_run, store_images
from tests.stages.export.readers import FORMAT_OF, READERS, Reading, pixels

BOXES = 14  # of the run; one of them is half a pixel wide


@pytest.fixture
def run(tmp_path: Path) -> Any:
    run = odd_run(tmp_path / "odd")
    store_images(run)
    assert sum(len(row["boxes"]) for row in run.rows["pseudo"]) == BOXES
    return run


def wrong_pixels(reading: Reading) -> list[str]:
    """Phrases whose boxes cover another colour than they name."""
    found = []
    for (x1, y1, x2, y2), text in reading.boxes:
        under = reading.pixels[math.floor(y1) : math.ceil(y2), math.floor(x1) : math.ceil(x2)].reshape(-1, 3)
        nearest = min(COLOURS, key=lambda colour: float(np.abs(np.median(under, axis=0) - COLOURS[colour]).sum()))
        if text.split()[0] != nearest or text.split()[1] not in ("corner", "edge"):
            found.append(f"{text} on {nearest}")
    return found


@pytest.mark.parametrize("reader", READERS)
def test_every_box_lies_on_what_its_phrase_names(exported: Callable[..., Exported], reader: str) -> None:
    export = exported(FORMAT_OF[reader])
    readings = list(READERS[reader](export.folder))
    assert [wrong_pixels(reading) for reading in readings] == [[]] * len(readings)
    found = sum(len(reading.boxes) for reading in readings)
    drops_thin_boxes = reader in ("mmdetection", "glip_gold", "glip_captions")
    assert found == BOXES - drops_thin_boxes
    images_with_several_captions_are_one = reader in ("coco", "fiftyone")
    assert len(readings) == (len(IMAGES) if images_with_several_captions_are_one else len(CAPTIONS))


def test_stored_images_are_the_sources_own(exported: Callable[..., Exported]) -> None:
    """`--pictures stored`: byte for byte, so that readers which do not turn see boxes beside their things."""
    export = exported("mdetr", pictures="stored")
    names = {image["key"]: image["file_name"] for image in export.json("mdetr.json")["images"]}
    for number, (image, _) in enumerate(CAPTIONS):
        assert export.path(names[f"{number:012d}"]).read_bytes() == IMAGES[image]
    assert any(wrong_pixels(reading) for reading in READERS["mdetr"](export.folder))


def test_only_turned_images_are_encoded_again(exported: Callable[..., Exported]) -> None:
    export = exported("odvg")
    images = export.path("images")
    assert (images / "000000000002.jpg").read_bytes() == IMAGES[2]
    for name, image in (("0.jpg", 0), ("1.png", 1), ("4.webp", 3)):
        data = (images / f"00000000000{name}").read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            assert not opened.getexif() and "xmp" not in opened.info
            assert opened.format == {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[name[2:]]
        with Image.open(io.BytesIO(IMAGES[image])) as source:
            seen = np.asarray(ImageOps.exif_transpose(source).convert("RGB")).astype(int)
        assert np.abs(pixels(data).astype(int) - seen).mean() < 4


@pytest.mark.parametrize("format", ["coco", "odvg", "mdetr", "label-studio", "fiftyone", "glip-tsv", "grit"])
def test_an_image_with_two_captions_lies_there_once_where_the_format_allows(
    exported: Callable[..., Exported], format: str
) -> None:
    export = exported(format)
    folders = [export.path(name) for name in ("images", "data") if export.path(name).exists()]
    files = [path.stem for folder in folders for path in folder.iterdir()]
    shares = format not in ("glip-tsv", "grit")  # images inside, a row each; and found by the key of each row
    if format == "glip-tsv":
        assert not files
    else:
        assert sorted(files) == [f"{number:012d}" for number in range(len(CAPTIONS)) if number != 3 or not shares]
    counted = {"images": len(IMAGES), "captions": len(CAPTIONS)} if shares else {"images": len(CAPTIONS)}
    assert {name: export.result[name] for name in ("images", "captions") if name in export.result} == counted


def test_coco_has_one_image_with_its_captions(exported: Callable[..., Exported]) -> None:
    data = exported("coco").json("instances.json")
    captions = {row["id"]: row for row in data["captions"]}
    assert [(row["key"], row["caption"]) for row in data["captions"]] == [
        (f"{number:012d}", caption) for number, (_, caption) in enumerate(CAPTIONS)
    ]
    assert Counter(row["image_id"] for row in data["captions"]) == {1: 2, 2: 1, 3: 1, 4: 1}
    assert [image["id"] for image in data["images"]] == [1, 2, 3, 4]
    for annotation in data["annotations"]:
        caption = captions[annotation["caption_id"]]
        assert caption["image_id"] == annotation["image_id"]
        assert caption["caption"][slice(*annotation["span"])] == annotation["phrase"]


def test_mdetr_has_a_row_for_each_caption_of_one_image(exported: Callable[..., Exported]) -> None:
    images = exported("mdetr").json("mdetr.json")["images"]
    assert [image["id"] for image in images] == [1, 2, 3, 4, 5]
    assert [image["original_img_id"] for image in images] == [1, 2, 3, 1, 4]
    assert images[0]["file_name"] == images[3]["file_name"] == "images/000000000000.jpg"


def test_licence_and_source_go_with_the_data(exported: Callable[..., Exported], run: Any) -> None:
    expected = [(row["source_id"], row["license"]) for row in run.rows["pairs"]]
    for format, file in (("coco", "instances.json"), ("mdetr", "mdetr.json")):
        data = exported(format, images=False).json(file)
        names = {entry["id"]: entry["name"] for entry in data["licenses"]} | {None: None}
        assert [entry["url"] for entry in data["licenses"]] == ["https://creativecommons.org/licenses/by/4.0/", ""]
        found = {row["key"]: (row["source_id"], names[row.get("license")]) for row in data["images"]}
        assert found == {key: expected[int(key)] for key in found} and len(found) >= len(IMAGES)
        if format == "coco":
            assert [row["source_id"] for row in data["captions"]] == [source for source, _ in expected]

    def of(rows: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
        return [(row["source_id"], row["license"]) for row in rows]

    lines = exported("odvg", images=False).path("odvg.jsonl").read_text("utf-8").splitlines()
    assert of([json.loads(line) for line in lines]) == expected
    assert of([task["data"] for task in exported("label-studio", images=False).json("tasks.json")]) == expected
    rows = exported("glip-tsv").path("train.label.tsv").read_text("utf-8").splitlines()
    assert of([json.loads(row.split("\t")[1]) for row in rows]) == expected
    labels = exported("fiftyone", images=False).json("labels.json")["labels"]
    attributes = [detection["attributes"] for own in labels.values() for detection in own]
    assert set(of(attributes)) == set(expected)


def test_boxes_that_a_reader_drops_are_counted(exported: Callable[..., Exported]) -> None:
    """GLIP's caption reader would give the second box of that image the phrase of the first, and so on."""
    assert exported("glip-tsv").result["boxes left out (at the edge)"] == 1
    assert "boxes left out (at the edge)" not in exported("coco").result


def test_a_pair_whose_image_is_gone_is_counted(exported: Callable[..., Exported], run: Any) -> None:
    (run.root / "source" / "1").unlink()
    (run.root / "source" / "3").write_bytes(IMAGES[3][:-40])
    result = exported("odvg").result
    assert {name: count for name, count in result.items() if "left out" in name} == {
        "pairs left out (missing_image)": 1,
        "pairs left out (truncated_image)": 1,
    }
    assert (result["images"], result["captions"]) == (2, 3)
