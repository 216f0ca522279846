"""A run with masks, exported in each format that carries them, and read back by pycocotools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from stages.export.exporter import labelled_images
from stages.export.formats import export
from tests.stages.export.exported import Exported
from tests.stages.export.label_studio_rules import problems
from tests.stages.export.test_label_studio_rle import unpack

Key = tuple[str, float, float, float, float]  # a box, by its key and corners


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Any]) -> Any:
    return make_run(tmp_path_factory.mktemp("masked"), part_size=25).fill(40).mask()


def write(run: Any, folder: Path, format: str, **options: Any) -> Exported:
    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            yield file

    options = {"config": run.config, "images": False, **options}
    return Exported(folder, run, export(run.all_parts(), format, create, **options))


def truth(run: Any) -> dict[Key, NDArray[np.bool_]]:
    """The pixels of the mask of each box of a pair with an image."""
    rows = [(row["key"], box) for row in run.rows["pseudo"] for box in row["boxes"]]
    assert len(rows) == len(run.masks) > 40
    with_image = {row["key"] for row in run.rows["pairs"] if row["image"]}
    return {
        (key, *(round(box[side], 2) for side in ("x1", "y1", "x2", "y2"))): pixels
        for (key, box), pixels in zip(rows, run.masks, strict=True)
        if key in with_image
    }


def decoded(segmentation: dict[str, Any]) -> NDArray[np.bool_]:
    assert segmentation["counts"].isascii()
    pixels: NDArray[np.bool_] = coco_masks.decode(segmentation).astype(np.bool_)
    return pixels


def check(found: dict[Key, NDArray[np.bool_]], run: Any) -> None:
    expected = truth(run)
    assert found.keys() == expected.keys()
    for key, pixels in found.items():
        np.testing.assert_array_equal(pixels, expected[key])


def test_coco(masked: Any, tmp_path: Path) -> None:
    coco = COCO(str(write(masked, tmp_path, "coco").path("instances.json")))
    found = {}
    for annotation in coco.dataset["annotations"]:
        x, y, w, h = annotation["bbox"]
        key = coco.imgs[annotation["image_id"]]["key"]
        pixels = coco.annToMask(annotation).astype(np.bool_)
        assert annotation["area"] == pixels.sum() == coco_masks.area(annotation["segmentation"])
        found[key, round(x, 2), round(y, 2), round(x + w, 2), round(y + h, 2)] = pixels
    check(found, masked)


def test_fiftyone(masked: Any, tmp_path: Path) -> None:
    found = {}
    for key, detections in write(masked, tmp_path, "fiftyone").json("labels.json")["labels"].items():
        for detection in detections:
            pixels = decoded(detection["attributes"]["segmentation"])
            x, y, w, h = np.array(detection["bounding_box"]) * (pixels.shape[::-1] * 2)
            found[key, round(x, 2), round(y, 2), round(x + w, 2), round(y + h, 2)] = pixels
    check(found, masked)


def test_odvg(masked: Any, tmp_path: Path) -> None:
    found = {}
    for line in write(masked, tmp_path, "odvg").path("odvg.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        for region in record["grounding"]["regions"]:
            corners = (round(side, 2) for side in region["bbox"])
            found[Path(record["filename"]).stem, *corners] = decoded(region["segmentation"])
    check(found, masked)


def test_gligen(masked: Any, tmp_path: Path) -> None:
    """As InstanceDiffusion decodes an item: what masks there are, stacked without axes of one, by the boxes' place."""
    found, alone = {}, set()
    for line in write(masked, tmp_path, "gligen").path("train.tsv").read_text("utf-8").splitlines():
        key, text = line.split("\t")
        annos = json.loads(text)["annos"]
        segments = [coco_masks.decode(anno["mask"])[..., None] for anno in annos if "mask" in anno]
        if not segments:
            alone.add(key)
            assert len(annos) == 1
            continue
        stacked = np.stack(segments).squeeze()
        assert stacked.ndim == 3 and len(stacked) == len(annos)
        for anno, pixels in zip(annos, stacked):
            x, y, w, h = anno["bbox"]
            found[key, round(x, 2), round(y, 2), round(x + w, 2), round(y + h, 2)] = pixels.astype(np.bool_)
    assert alone and set(found) == {key for key in truth(masked) if key[0] not in alone}
    check({**{box: pixels for box, pixels in truth(masked).items() if box[0] in alone}, **found}, masked)


def test_label_studio(masked: Any, tmp_path: Path) -> None:
    exported = write(masked, tmp_path, "label-studio")
    config = exported.path("config.xml").read_text()
    found = {}
    for task in exported.json("tasks.json"):
        assert problems(config, task) == []
        results = task["predictions"][0]["result"]
        boxes = {result["id"]: result for result in results if result["type"] == "rectanglelabels"}
        assert len({result["id"] for result in results}) == len(results) == 2 * len(boxes)
        for result in results[len(boxes) :]:
            assert (result["type"], result["value"]["format"]) == ("brushlabels", "rle")
            box = boxes[result["id"].removesuffix("-mask")]["value"]
            assert result["value"]["brushlabels"] == box["rectanglelabels"]
            height, width = result["original_height"], result["original_width"]
            pixels = np.array(unpack(result["value"]["rle"]), np.uint8).reshape(height, width, 4)
            w, h = width / 100, height / 100
            x1, y1 = box["x"] * w, box["y"] * h
            corners = (x1, y1, x1 + box["width"] * w, y1 + box["height"] * h)
            found[task["data"]["key"], *(round(side, 2) for side in corners)] = pixels[..., 3] == 255
    check(found, masked)


def test_boxes_too_far_from_their_masks_are_left_out_and_counted(masked: Any, tmp_path: Path) -> None:
    config = masked.config.model_copy(
        update={"filter": masked.config.filter.model_copy(update={"max_mask_box_gap": 0.5})}
    )
    exported = write(masked, tmp_path, "coco", config=config)
    kept = len(exported.json("instances.json")["annotations"])
    with_image = {row["key"] for row in masked.rows["pairs"] if row["image"]}
    keys = [row["key"] for row in masked.rows["pseudo"] for _ in row["boxes"]]
    narrow = [number for number in range(len(keys)) if number % 5 == 4]  # masks of a quarter of their box
    assert exported.result["boxes left out (mask_box_gap)"] == len(narrow) > 5
    assert (
        exported.result["boxes"]
        == kept
        == sum(key in with_image for key in keys) - sum(keys[number] in with_image for number in narrow)
    )


def test_labelled_boxes_below_the_filter_have_no_masks(masked: Any) -> None:
    images = list(labelled_images(masked.all_parts(), 0.3))
    assert len(images) > 10 and [len(image.masks) for image in images] == [0] * len(images)
