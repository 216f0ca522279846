"""What the gold files of the recipe without Flickr hold, on a few of the real photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from recipes.glip_photos.nanodet import Detector
from recipes.glip_photos.prepare import file_names, read, without, write_coco
from recipes.glip_photos_coco.prepare import COMMERCIAL, allowed, copied, detected
from stages.geometry import box_array, from_xywh, iou

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data"
needs_photos = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared")


@needs_photos
def test_no_photo_is_of_flickr_or_of_the_development_set() -> None:
    coco = read(DATA / "photos" / "coco_instances.json")
    found = allowed(coco, DATA, commercial=False)
    names = {row["file_name"] for row in found["images"]}
    assert len(names) == 214
    assert not names & {row["file_name"] for row in read(DATA / "coco-mini" / "instances.json")["images"]}
    assert not names & file_names(DATA / "photos", "entities_train", "entities_dev", "entities_test", "detector_labels")
    open_ones = allowed(coco, DATA, commercial=True)["images"]
    assert len(open_ones) == 54 and {row["license"] for row in open_ones} <= COMMERCIAL
    ids = [row["id"] for row in found["categories"]]
    assert ids == sorted(ids) and len(ids) == 80


def test_open_photos_get_rows_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    rows = copied([ROOT / "configs" / "photos"], tmp_path / "out", first_id=900)
    assert [row["id"] for row in rows] == list(range(900, 908))
    for row in rows:
        with Image.open(tmp_path / "out" / row["file_name"]) as image:
            assert image.size == (row["width"], row["height"])
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(ROOT / "configs/photos/cat.jpg", other / "cat.jpg")
    with pytest.raises(FileExistsError, match="photo of this name"):
        copied([ROOT / "configs" / "photos", other], tmp_path / "out", 0)


@needs_photos
def test_the_detectors_boxes_are_near_those_of_people(tmp_path: Path) -> None:
    coco = allowed(read(DATA / "photos" / "coco_instances.json"), DATA, commercial=False)
    coco = without(coco, {row["file_name"] for row in coco["images"][4:]})
    write_coco(DATA, coco, tmp_path)
    detector = Detector(DATA / "photos" / "detector", [row["name"] for row in coco["categories"]])
    found = detected(detector, coco["images"], tmp_path, coco["categories"])
    assert found["categories"] == coco["categories"] and len(found["annotations"]) > 4
    sizes = {row["id"]: (row["width"], row["height"]) for row in coco["images"]}
    right = 0
    for row in found["annotations"]:
        x, y, width, height = row["bbox"]
        assert x >= 0 and x + width <= sizes[row["image_id"]][0] + 1
        assert y >= 0 and y + height <= sizes[row["image_id"]][1] + 1
        same = [
            from_xywh(*one["bbox"])
            for one in coco["annotations"]
            if (one["image_id"], one["category_id"]) == (row["image_id"], row["category_id"])
        ]
        own = box_array([from_xywh(*row["bbox"])])
        right += bool(same) and bool(iou(own[:, None], box_array(same)).max() >= 0.5)
    assert right >= 0.7 * len(found["annotations"])
