"""COCO sets of scenes on the disk, in ODinW's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stages.synthetic import draw_scene

NAMES = ("dog", "cat", "car", "tree", "apple")


def scene_set(indices: range, names: tuple[str, ...] = NAMES, seed: int = 0) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The instances JSON of the scenes that show one of these nouns, and the images by their file names."""
    images, annotations, files = [], [], {}
    for index in indices:
        scene = draw_scene("web", seed, index)
        own = [(names.index(name) + 1, corners) for name, corners in scene.objects if name in names]
        if not own:
            continue
        file = f"{index}.jpg"
        files[file] = scene.jpeg
        images.append({"id": 100 + index, "file_name": file, "width": scene.width, "height": scene.height})
        for category, (x1, y1, x2, y2) in own:
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, "image_id": 100 + index, "category_id": category, **box})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}, files


def write_odinw(top: Path, **splits: range) -> Path:
    """top/SPLIT/annotations_without_background.json with the images beside it."""
    for split, indices in splits.items():
        folder = top / split
        folder.mkdir(parents=True)
        dataset, files = scene_set(indices)
        (folder / "annotations_without_background.json").write_text(json.dumps(dataset))
        for name, data in files.items():
            (folder / name).write_bytes(data)
    return top
