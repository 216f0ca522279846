"""What the readers that docs/exports.md names do with our files, told from their published behaviour.

Each turns a folder into what it would train on. None of them knows of EXIF: they open images with plain Pillow.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Reading:
    """One training sample: pixels (H, W, 3), the text, and boxes (x1, y1, x2, y2) with the text that they are of."""

    pixels: np.ndarray
    caption: str
    boxes: list[tuple[Corners, str]]


def pixels(source: Path | bytes) -> np.ndarray:
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        return np.asarray(image.convert("RGB"))


def mmdetection(folder: Path) -> Iterator[Reading]:
    """ODVG: boxes outside of the image or narrower than a pixel are skipped; the text is lower-cased, then stripped."""
    with open(folder / "odvg.jsonl", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    for record in records:
        text = record["grounding"]["caption"].lower().strip()
        boxes: list[tuple[Corners, str]] = []
        for region in record["grounding"]["regions"]:
            nested = region["bbox"] if isinstance(region["bbox"][0], list) else [region["bbox"]]
            for x1, y1, x2, y2 in nested:
                inside = min(x2, record["width"]) > max(x1, 0) and min(y2, record["height"]) > max(y1, 0)
                if inside and x2 - x1 >= 1 and y2 - y1 >= 1:
                    spans = " ".join(text[start:end] for start, end in region["tokens_positive"])
                    boxes.append(((x1, y1, x2, y2), spans))
        yield Reading(pixels(folder / record["filename"]), text, boxes)


def open_groundingdino(folder: Path) -> Iterator[Reading]:
    """ODVG: all boxes of an image become one (N, 4) array beside N phrases; the distinct phrases become the text."""
    with open(folder / "odvg.jsonl", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    for record in records:
        regions = record["grounding"]["regions"]
        boxes = np.asarray([region["bbox"] for region in regions], np.float32).reshape(-1, 4)
        phrases = [region["phrase"] for region in regions]
        names = sorted(set(phrases))  # a phrase that is a list could not be in a set
        classes = [names.index(phrase) for phrase in phrases]
        assert len(boxes) == len(classes) > 0
        found = [((x1, y1, x2, y2), names[number]) for (x1, y1, x2, y2), number in zip(boxes.tolist(), classes)]
        yield Reading(pixels(folder / record["filename"]), " . ".join(names) + " .", found)


def mdetr(folder: Path) -> Iterator[Reading]:
    """By pycocotools, image by image; boxes are cut at the image, and those without an area are dropped with spans."""
    for image, rows in _coco(folder / "mdetr.json"):
        opened = pixels(folder / image["file_name"])
        height, width = opened.shape[:2]
        boxes = []
        for annotation in rows:
            x, y, w, h = annotation["bbox"]
            corners = (max(x, 0), max(y, 0), min(x + w, width), min(y + h, height))
            if corners[2] > corners[0] and corners[3] > corners[1]:
                boxes.append((corners, _texts(image["caption"], annotation["tokens_positive"])))
        assert isinstance(image["id"], int) and image["tokens_positive_eval"]
        yield Reading(opened, image["caption"], boxes)


def glip_gold(folder: Path) -> Iterator[Reading]:
    """MDETR's file as GLIP reads it: the last pixel of a box is inside, and images whose boxes are all at most a pixel
    wide or high are skipped."""
    for image, rows in _coco(folder / "mdetr.json"):
        if all(min(annotation["bbox"][2:]) <= 1 for annotation in rows):
            continue
        opened = pixels(folder / image["file_name"])
        height, width = opened.shape[:2]
        boxes = []
        for annotation in rows:
            x, y, w, h = annotation["bbox"]
            x1, y1 = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            x2, y2 = min(x + w - 1, width - 1), min(y + h - 1, height - 1)
            if x2 > x1 and y2 > y1:
                boxes.append(((x1, y1, x2 + 1, y2 + 1), _texts(image["caption"], annotation["tokens_positive"])))
        yield Reading(opened, image["caption"], boxes)


def glip_captions(folder: Path) -> Iterator[Reading]:
    """TSV files by their line indexes. Corners go to the last pixel at most, what is empty then is dropped, and the
    spans of what is left are taken by its new place in the list: spans shift where a box was dropped."""
    names = yaml.safe_load((folder / "train.yaml").read_text())
    tables = {kind: _tsv(folder / name) for kind, name in names.items()}
    for number, (_, image) in enumerate(tables["img"]):
        label = json.loads(tables["label"][number][1])
        size = json.loads(tables["hw"][number][1])[0]
        opened = pixels(base64.b64decode(image))
        assert opened.shape[:2] == (size["height"], size["width"]) == (label["img_h"], label["img_w"])
        right, bottom = label["img_w"] - 1, label["img_h"] - 1
        cut = [
            (max(min(x1, right), 0), max(min(y1, bottom), 0), min(x2, right), min(y2, bottom))
            for x1, y1, x2, y2 in label["bboxes"]
        ]
        kept = [corners for corners in cut if corners[2] > corners[0] and corners[3] > corners[1]]
        spans = [_texts(label["caption"], label["tokens_positive"][i]) for i in range(len(kept))]
        yield Reading(opened, label["caption"], list(zip(kept, spans)))


def fiftyone(folder: Path) -> Iterator[Reading]:
    """Images by their names without suffix; labels sorted by the same; boxes are shares of the sides."""
    files = {path.stem: path for path in (folder / "data").iterdir()}
    labels = json.loads((folder / "labels.json").read_text("utf-8"))
    assert "classes" not in labels  # else a label would be the number of one
    for name in sorted(labels["labels"]):
        opened = pixels(files[name])
        height, width = opened.shape[:2]
        boxes = []
        for detection in labels["labels"][name]:
            x, y, w, h = detection["bounding_box"]
            assert isinstance(detection["label"], str) and 0 <= detection["confidence"] <= 1
            boxes.append(((x * width, y * height, (x + w) * width, (y + h) * height), detection["label"]))
        yield Reading(opened, detection["attributes"]["caption"], boxes)


def coco(folder: Path) -> Iterator[Reading]:
    for image, rows in _coco(folder / "instances.json"):
        boxes = []
        for annotation in rows:
            x, y, w, h = annotation["bbox"]
            boxes.append(((x, y, x + w, y + h), annotation["phrase"]))
        yield Reading(pixels(folder / image["file_name"]), image["caption"], boxes)


def label_studio(folder: Path) -> Iterator[Reading]:
    """Rectangles in percent of the sides, over the image as the browser gets it."""
    for task in json.loads((folder / "tasks.json").read_text("utf-8")):
        opened = pixels(folder / task["data"]["image"].partition("?d=")[2])
        height, width = opened.shape[:2]
        boxes = []
        for result in task["predictions"][0]["result"]:
            value = result["value"]
            x, y = value["x"] * width / 100, value["y"] * height / 100
            corners = (x, y, x + value["width"] * width / 100, y + value["height"] * height / 100)
            boxes.append((corners, value["rectanglelabels"][0]))
        yield Reading(opened, task["data"]["caption"], boxes)


READERS = {
    "coco": coco,
    "mmdetection": mmdetection,
    "open_groundingdino": open_groundingdino,
    "mdetr": mdetr,
    "glip_gold": glip_gold,
    "glip_captions": glip_captions,
    "fiftyone": fiftyone,
    "label_studio": label_studio,
}
FORMAT_OF = {
    "coco": "coco",
    "mmdetection": "odvg",
    "open_groundingdino": "odvg",
    "mdetr": "mdetr",
    "glip_gold": "mdetr",
    "glip_captions": "glip-tsv",
    "fiftyone": "fiftyone",
    "label_studio": "label-studio",
}


def _coco(path: Path) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    from pycocotools.coco import COCO

    read = COCO(str(path))
    for number in sorted(read.imgs):
        yield read.loadImgs(number)[0], read.loadAnns(read.getAnnIds(imgIds=number))


def _texts(caption: str, spans: list[list[int]]) -> str:
    return " ".join(caption[start:end] for start, end in spans)


def _tsv(path: Path) -> list[list[str]]:
    """Rows of columns, each found by its byte in a file that is opened as text, and stripped."""
    places = path.with_suffix(".lineidx").read_text().split()
    with open(path, encoding="utf-8") as file:
        rows = []
        for place in places:
            file.seek(int(place))
            rows.append([column.strip() for column in file.readline().split("\t")])
    return rows
