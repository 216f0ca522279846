"""A few of the photos beside the repository, laid out as all of them are, for rehearsals of the recipes' commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recipes.glip_photos.prepare import read, without

SHARED = Path(__file__).resolve().parents[2] / "shared"
PHOTOS = SHARED / "data" / "photos"
LINKED = ("photos/detector", "photos/coco-more", "photos/minilm_svd64_fp16.npy", "flickr8k-wds", "coco128")


def few_photos(folder: Path, flickr: int = 4, coco: int = 3) -> Path:
    """So many photos of each split of Flickr's, and of COCO's for training and for development; returns `folder`."""
    data = folder / "data"
    (data / "photos").mkdir(parents=True)
    (data / "coco-mini").mkdir()
    for name in (*LINKED, "coco-mini/images"):
        (data / name).symlink_to(SHARED / "data" / name)
    names = set()
    for split in ("train", "dev", "test"):
        gold = first(read(PHOTOS / f"entities_{split}.json"), flickr)
        names |= {row["file_name"] for row in gold["images"]}
        write(data / "photos" / f"entities_{split}.json", gold)
    labels = read(PHOTOS / "detector_labels.json")
    write(data / "photos" / "detector_labels.json", only(labels, names))
    for name in ("names", "sizes"):
        table = read(PHOTOS / f"{name}.json")
        kept = {key: value for key, value in table.items() if (value if name == "names" else key) in names}
        write(data / "photos" / f"{name}.json", kept)
    (data / "photos" / "never_train.txt").write_text((PHOTOS / "never_train.txt").read_text())
    there = {path.name for path in (PHOTOS / "coco-more").iterdir()}
    write(data / "photos" / "coco_instances.json", first(only(read(PHOTOS / "coco_instances.json"), there), coco))
    instances = first(read(SHARED / "data" / "coco-mini" / "instances.json"), coco)
    write(data / "coco-mini" / "instances.json", instances)
    captions = read(SHARED / "data" / "coco-mini" / "captions.json")
    ids = {row["id"] for row in instances["images"]}
    rows = [row for row in captions["annotations"] if row["image_id"] in ids]
    write(data / "coco-mini" / "captions.json", {**captions, "annotations": rows})
    return folder


def first(gold: dict[str, Any], count: int) -> dict[str, Any]:
    return only(gold, {row["file_name"] for row in gold["images"][:count]})


def only(gold: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return without(gold, {row["file_name"] for row in gold["images"]} - names)


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))
