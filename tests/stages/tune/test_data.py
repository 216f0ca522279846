"""Sets on the disk: ODinW's layouts, prepared shots, and what of an annotation file is learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.config import TuneConfig
from stages.stage import UserError
from stages.tune.data import Place, find_splits, open_pictures, split_of
from tests.stages.conftest import DiskIO

PLAIN = "annotations_without_background.json"


def dataset(*boxes: tuple[Any, int, list[float]], images: int = 6, crowd: tuple[int, ...] = ()) -> dict[str, Any]:
    """(image id, category, xywh); ids fall, so that the file's order is not theirs."""
    return {
        "images": [{"id": 90 - n, "file_name": f"{90 - n}.jpg", "width": 50, "height": 40} for n in range(images)],
        "categories": [{"id": 7, "name": "cow"}, {"id": 2, "name": "hen"}],
        "annotations": [
            {"id": n, "image_id": image, "category_id": category, "bbox": box, "iscrowd": int(n in crowd)}
            for n, (image, category, box) in enumerate(boxes)
        ],
    }


FARM = dataset(
    *((90 - n, 7 if n % 2 else 2, [1.0, 2.0, 30.0, 20.0]) for n in range(5)),
    (90, 7, [0.0, 0.0, 1.0, 20.0]),
    (88, 7, [10.0, 10.0, 60.0, 60.0]),
    (87, 7, [0.0, 0.0, 40.0, 40.0]),
    crowd=(7,),
)


def write(top: Path, name: str, content: dict[str, Any] = FARM) -> None:
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def config(**values: Any) -> TuneConfig:
    return TuneConfig.model_validate({"data": "set", **values})


@pytest.mark.parametrize(
    ("folder", "names", "images"),
    [
        ("Raccoon/Raccoon.v2-raw.coco", ("train/{}", "valid/{}", "test/{}"), ("train", "valid", "test")),
        ("EgoHands/generic", ("train/{}", "valid/{}", "mini_val/{}", "test/{}"), ("train", "valid", "test")),
        ("pistols/export", ("train_{}", "val_{}", "test_{}"), ("", "", "")),
        ("dice/mediumColor/export", ("train_{}", "val_{}", "test_{}"), ("", "", "")),
    ],
)
def test_the_layouts_of_odinw(tmp_path: Path, folder: str, names: tuple[str, ...], images: tuple[str, ...]) -> None:
    """Found below the set's own folder, whatever lies between."""
    for name in names:
        write(tmp_path / "set" / folder, name.format(PLAIN))
    write(tmp_path / "set" / folder, "train/_annotations.coco.json")  # Roboflow's, with a background category
    write(tmp_path / "set" / folder, "train/fewshot_train_shot1_seed3.json")
    found = find_splits(DiskIO(tmp_path), "set", "tune.data")
    assert {split: place.images for split, place in found.items()} == {
        split: f"set/{folder}/{own}".rstrip("/") for split, own in zip(("train", "val", "test"), images, strict=True)
    }
    assert found["val"].annotations in {f"set/{folder}/valid/{PLAIN}", f"set/{folder}/val_{PLAIN}"}


def test_an_export_of_roboflow(tmp_path: Path) -> None:
    write(tmp_path, "set/train/_annotations.coco.json")
    found = find_splits(DiskIO(tmp_path), "set", "tune.data")
    assert found == {"train": Place("set/train/_annotations.coco.json", "set/train")}
    assert split_of("a/train/other.json") == (None, 0) and split_of(f"a/b/{PLAIN}") == (None, 0)


def test_two_sets_below_one_folder_are_told_apart_by_the_user(tmp_path: Path) -> None:
    write(tmp_path, f"set/large/train/{PLAIN}")
    write(tmp_path, f"set/tiled/train/{PLAIN}")
    with pytest.raises(UserError, match=r"^tune.data: set holds two sets, set/large/train/.* and set/tiled/train/"):
        find_splits(DiskIO(tmp_path), "set", "tune.data")
    with pytest.raises(UserError, match=r"^tune.data: other: no such file or folder$"):
        find_splits(DiskIO(tmp_path), "other", "tune.data")


def test_all_images_that_show_something_by_rising_id(tmp_path: Path) -> None:
    write(tmp_path, f"set/train/{PLAIN}")
    write(tmp_path, f"set/valid/{PLAIN}")
    train = open_pictures(DiskIO(tmp_path), config(), "train")
    assert train.files == ["86.jpg", "87.jpg", "88.jpg", "89.jpg", "90.jpg"] and train.names == ["hen", "cow"]
    boxes = dict(zip(train.files, train.boxes(), strict=True))
    np.testing.assert_array_equal(boxes["88.jpg"][0], [[1, 2, 31, 22], [10, 10, 50, 40]])  # cut at the image's border
    assert {name: category.tolist() for name, (_, category) in boxes.items()} == {
        **{"86.jpg": [0], "87.jpg": [1], "88.jpg": [0, 1], "89.jpg": [1]},
        "90.jpg": [0],  # the box of a pixel is none; nor is the crowd of 87
    }
    val = open_pictures(DiskIO(tmp_path), config(), "val")
    assert len(val.files) == 6 and val.drawn == "all"  # an image without boxes can have wrong ones


def test_shots_are_drawn_by_image_and_kept_apart_by_seed(tmp_path: Path) -> None:
    boxes = [(90 - n, (2, 7)[n % 3 == 0], [1.0, 2.0, 30.0, 20.0]) for n in range(30)]
    write(tmp_path, f"set/train/{PLAIN}", dataset(*boxes, images=30))
    draws = {
        seed: open_pictures(DiskIO(tmp_path), config(shots=3, seed=seed), "train").files for seed in (3, 30, 300, 3)
    }
    assert len({tuple(draw) for draw in draws.values()}) == 3
    for draw in draws.values():
        numbers = [90 - int(name[:2]) for name in draw]
        assert [sum(n % 3 == 0 for n in numbers), sum(n % 3 != 0 for n in numbers)] == [3, 3]
    shuffled = dataset(*boxes[::-1], images=30)
    shuffled["images"].reverse()
    write(tmp_path, f"set/train/{PLAIN}", shuffled)
    assert open_pictures(DiskIO(tmp_path), config(shots=3), "train").files == draws[3]  # the file's order is nothing


def test_prepared_shots_are_taken_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, f"set/train/{PLAIN}")
    write(tmp_path, "set/train/fewshot_train_shot1_seed30.json", dataset((90, 2, [1.0, 1.0, 9.0, 9.0]), images=1))
    found = open_pictures(DiskIO(tmp_path), config(shots=1, seed=30), "train")
    assert found.files == ["90.jpg"] and found.drawn == "those of fewshot_train_shot1_seed30.json"
    write(tmp_path, f"set/valid/{PLAIN}")
    write(tmp_path, "set/valid/fewshot_val_shot1_seed30.json", dataset((89, 2, [1.0, 1.0, 9.0, 9.0]), images=2))
    val = open_pictures(DiskIO(tmp_path), config(shots=1, seed=30), "val")
    assert val.drawn == "those of fewshot_val_shot1_seed30.json" and val.folder == "set/valid"
    other = open_pictures(DiskIO(tmp_path), config(shots=1, seed=3), "train")
    assert other.drawn == "drawn, seed 3" and len(other.files) == 2


def test_files_named_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, "examples.json")
    write(tmp_path, "checks.json")
    named = config(data="examples.json", images="pictures", val="checks.json")
    assert open_pictures(DiskIO(tmp_path), named, "train").folder == "pictures"
    assert open_pictures(DiskIO(tmp_path), named, "val").folder == ""


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({}, "val", r"^tune.val: set has no val/annotations_without_background.json; .* when to stop"),
        ({"data": "none.json"}, "train", r"^tune.data: none.json: no such file"),
        ({"val": "bad.json"}, "val", r"^tune.val: bad.json is no COCO instances file: .*'categories'"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, values: dict[str, Any], kind: Any, words: str) -> None:
    write(tmp_path, f"set/train/{PLAIN}")
    write(tmp_path, "bad.json", {"images": []})
    with pytest.raises(UserError, match=words):
        open_pictures(DiskIO(tmp_path), config(**values), kind)
