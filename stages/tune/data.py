"""The sets that a model is tuned on: COCO instances, in one file or in the folders of ODinW.

ODinW's sets lie as SET/.../SPLIT/annotations_without_background.json with the images beside it, or as
SET/.../export/SPLIT_annotations_without_background.json; Roboflow's own exports call the file _annotations.coco.json.
SPLIT is train, valid or val, test. Files of shots that were drawn before lie beside it, e.g.
fewshot_train_shot3_seed30.json, and are taken in the place of a draw.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners
from stages.annotations import rising
from stages.evaluate.coco import FLOOR, percent, read_coco, results_of
from stages.evaluate.coco_ap import precision_at_recalls
from stages.evaluate.inputs import in_chunks, read_image
from stages.geometry import box_array, clip, from_xywh
from stages.ingest.names import base_name, folder_of
from stages.stage import UserError
from stages.tune.shots import draw_shots
from stages.tune.tuner import Shot

if TYPE_CHECKING:
    from model.scheduler import Scheduler
    from schemas.config import TuneConfig
    from stages.stage import Files

SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
NAMES = ("annotations_without_background.json", "_annotations.coco.json", "annotations.json")  # the first one counts
CHUNK = 16  # images in memory
SMALL = 1.0  # pixels: a box with such a side is none

Kind = Literal["train", "val"]


@dataclass(frozen=True)
class Place:
    """An annotation file and the folder of its images."""

    annotations: str
    images: str


@dataclass(frozen=True)
class Pictures:
    """Some images with the true boxes of categories. `dataset`: as `read_coco` has it, those images alone."""

    dataset: dict[str, Any]
    folder: str
    drawn: str  # how the images were chosen, in words

    @property
    def names(self) -> list[str]:
        """Of the categories, by rising id."""
        return [category["name"] for category in self.dataset["categories"]]

    @property
    def files(self) -> list[str]:
        return [row["file_name"] for row in self.dataset["images"]]

    def boxes(self) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Of each image, (N, 4) half-open pixels and (N,) categories; without crowds and boxes of a pixel."""
        found: dict[int, list[tuple[int, Corners]]] = {row["id"]: [] for row in self.dataset["images"]}
        for box in filter(is_object, self.dataset["annotations"]):
            found[box["image_id"]].append((box["category_id"], from_xywh(*box["bbox"])))
        arrays = []
        for row in self.dataset["images"]:
            own = found[row["id"]]
            boxes = box_array([corners for _, corners in own])
            boxes = clip(boxes, *row["size"]) if row["size"] else boxes
            category = np.asarray([number for number, _ in own], dtype=np.int64)
            inside = np.all(boxes[:, 2:] > boxes[:, :2], axis=1)
            arrays.append((boxes[inside], category[inside]))
        return arrays


def is_object(box: dict[str, Any]) -> bool:
    return not box["iscrowd"] and min(box["bbox"][2:]) > SMALL


def open_pictures(files: Files, config: TuneConfig, kind: Kind) -> Pictures:
    """The images to learn from, or those by which training is stopped. Raises UserError."""
    place = find_place(files, config, kind)
    key = "tune.data" if kind == "train" else "tune.val"
    if config.shots == "all":
        dataset = read_coco(files, place.annotations, key=key)
        return Pictures(dataset if kind == "val" else with_objects(dataset), place.images, "all")
    if found := prepared(files, place, kind, config.shots, config.seed):
        return Pictures(read_coco(files, found, key=key), place.images, f"those of {base_name(found)}")
    dataset = with_objects(read_coco(files, place.annotations, key=key))
    drawn = draw_shots(classes_of(dataset), config.shots, config.seed)
    return Pictures(only(dataset, drawn), place.images, f"drawn, seed {config.seed}")


def find_place(files: Files, config: TuneConfig, kind: Kind) -> Place:
    """Raises UserError where there is none."""
    data, images = (config.data, config.images) if kind == "train" else (config.val, config.val_images)
    key = "data" if kind == "train" else "val"
    if data is not None and data.endswith(".json"):
        return Place(data, images or folder_of(data))
    splits = find_splits(files, data or config.data or "", f"tune.{key}")
    if kind not in splits:
        other = "where AP says when to stop, e.g. the examples themselves" if kind == "val" else "to learn from"
        raise UserError(
            f"tune.{key}: {data or config.data} has no {kind}/{NAMES[0]}; name the instances JSON of the images {other}"
        )
    found = splits[kind]
    return Place(found.annotations, images or found.images)


def find_splits(files: Files, folder: str, key: str) -> dict[str, Place]:
    """By split, the files of a set in one of ODinW's layouts. Raises UserError."""
    try:
        found = [file.uri for file in files.list_source(folder) if file.uri.endswith(".json")]
    except FileNotFoundError:
        raise UserError(f"{key}: {folder}: no such file or folder") from None
    ranked: dict[str, list[tuple[int, str]]] = {}
    for uri in found:
        split, rank = split_of(uri)
        if split is not None:
            ranked.setdefault(split, []).append((rank, uri))
    splits = {}
    for split, entries in ranked.items():
        best, *others = sorted(entries)
        if others and others[0][0] == best[0]:
            raise UserError(f"{key}: {folder} holds two sets, {best[1]} and {others[0][1]}; name the folder of one")
        splits[split] = Place(best[1], folder_of(best[1]))
    return splits


def split_of(uri: str) -> tuple[str | None, int]:
    """The split that an annotation file is of, and its rank among those of a split, 0 first; None for another file."""
    name, folder = base_name(uri), base_name(folder_of(uri))
    prefixed = re.fullmatch(rf"({'|'.join(SPLITS)})_(.+)", name)
    split, rest = (SPLITS[prefixed[1]], prefixed[2]) if prefixed else (SPLITS.get(folder), name)
    return (split, NAMES.index(rest)) if split and rest in NAMES else (None, 0)


def prepared(files: Files, place: Place, kind: Kind, shots: int, seed: int) -> str | None:
    """The file of shots that were drawn before, beside the annotations, where there is one."""
    folder = folder_of(place.annotations)
    uri = f"{folder}/fewshot_{kind}_shot{shots}_seed{seed}.json"
    return uri if any(file.uri == uri for file in files.list_source(folder)) else None


def with_objects(dataset: dict[str, Any]) -> dict[str, Any]:
    """Only the images that show something, by rising id of the file."""
    shown = {box["image_id"] for box in dataset["annotations"] if is_object(box)}
    rows = [place for place, row in enumerate(dataset["images"]) if row["id"] in shown]
    rows.sort(key=lambda place: rising(dataset["images"][place]["source_id"]))
    return only(dataset, rows)


def classes_of(dataset: dict[str, Any]) -> list[set[int]]:
    """Of each image, the categories that it shows, crowds among them."""
    found: dict[int, set[int]] = {row["id"]: set() for row in dataset["images"]}
    for box in dataset["annotations"]:
        found[box["image_id"]].add(box["category_id"])
    return list(found.values())


def only(dataset: dict[str, Any], places: list[int]) -> dict[str, Any]:
    """The dataset with the images at these places, in this order."""
    rows = [dataset["images"][place] for place in places]
    kept = {row["id"] for row in rows}
    return {
        **dataset,
        "images": rows,
        "annotations": [box for box in dataset["annotations"] if box["image_id"] in kept],
    }


# -- to learn from, and to measure by -------------------------------------------------------------------------------


def shots_of(files: Files, pictures: Pictures) -> list[Shot]:
    """Images to learn from; each is read when its batch is due."""
    found = []
    for row, (boxes, category) in zip(pictures.dataset["images"], pictures.boxes(), strict=True):
        if len(boxes):
            read = partial(read_image, files, pictures.folder, [row["file_name"]], row["size"], "tune.images")
            found.append(Shot(read, boxes, category))
    return found


def validation_ap(model: Scheduler, files: Files, pictures: Pictures) -> float:
    """COCO AP in percent, of category prompts."""
    results: list[dict[str, Any]] = []
    numbers = [category["id"] for category in pictures.dataset["categories"]]
    for rows in in_chunks(pictures.dataset["images"], CHUNK):
        images = [
            read_image(files, pictures.folder, [row["file_name"]], row["size"], "tune.val_images") for row in rows
        ]
        found = model.detect(images, pictures.names, score_floor=FLOOR)
        for row, result in zip(rows, found, strict=True):
            results += results_of(row["id"], result, numbers)
    return percent(precision_at_recalls(pictures.dataset, results)) or 0.0
