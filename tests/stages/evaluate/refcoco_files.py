"""RefCOCO-style files, made by hand and of scenes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.rle import encode, to_json
from stages.synthetic import draw_scene, scene_masks

CUP, DOG = (10.0, 10.0, 50.0, 50.0), (60.0, 10.0, 90.0, 80.0)  # 40 x 40 and 30 x 70 pixels
SENTENCES = {"left cup": CUP, "the dog": DOG, "brown dog": DOG}


def corners_to_polygon(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def annotation(number: int, image: int, box: Sequence[float], segmentation: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    bbox = [x1, y1, x2 - x1, y2 - y1]
    return {"id": number, "image_id": image, "category_id": 1, "bbox": bbox, "segmentation": segmentation, "iscrowd": 0}


def reference(number: int, image: int, split: str, *sentences: str) -> dict[str, Any]:
    """As `refs(unc).p` holds them, once it is JSON."""
    listed = [{"sent_id": i, "sent": text, "raw": text.upper(), "tokens": []} for i, text in enumerate(sentences)]
    return {
        "ref_id": number,
        "ann_id": number,
        "image_id": image,
        "category_id": 1,
        "file_name": f"COCO_train2014_{image}_{number}.jpg",  # with the annotation's number: no image has this name
        "split": split,
        "sent_ids": list(range(len(sentences))),
        "sentences": listed,
    }


def write(folder: Path, references: Any, instances: Mapping[str, Any]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "instances.json").write_text(json.dumps(instances))
    (folder / "refs(unc).json").write_text(json.dumps(references))
    return str(folder / "refs(unc).json")


def by_hand(folder: Path) -> str:
    """Two images of 100 x 80, a.png and b.png: a cup and a dog in each; sentences of the split val in a alone."""
    images = [{"id": id, "file_name": f"{name}.png", "height": 80, "width": 100} for id, name in ((7, "a"), (8, "b"))]
    annotations = [
        annotation(1, 7, CUP, [corners_to_polygon(*CUP)]),
        annotation(2, 7, DOG, [corners_to_polygon(*DOG)]),
        annotation(3, 8, DOG, [corners_to_polygon(*DOG)]),
    ]
    references = [
        reference(3, 8, "testA", "dog of b"),
        reference(1, 7, "val", "left cup"),
        reference(2, 7, "val", "the dog", "brown dog"),
    ]
    return write(folder, references, {"images": images, "annotations": annotations, "categories": [{"id": 1}]})


def of_scenes(folder: Path, count: int, seed: int = 3) -> tuple[str, str]:
    """Each scene's objects as referents, named by their category, with exact masks: data and images."""
    images, annotations, references = [], [], []
    (folder / "images").mkdir(parents=True)
    for index in range(count):
        scene = draw_scene("eval", seed, index)
        (folder / "images" / f"{index}.jpg").write_bytes(scene.jpeg)
        images.append({"id": index, "file_name": f"{index}.jpg", "height": scene.height, "width": scene.width})
        for (name, box), mask in zip(scene.objects, scene_masks("eval", seed, index), strict=True):
            number = len(annotations)
            annotations.append(annotation(number, index, box, to_json(encode(np.asarray(mask)), *mask.shape)))
            references.append(reference(number, index, "val", name))
    instances = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    return write(folder, references, instances), str(folder / "images")
