"""The task of `benchmarks.transfer`: six nouns that glip-nano's training has never shown, in a style it has never seen.

Scenes are laid out as all scenes are, each with one or two of the nouns and up to two things of other names, which are
not asked for. Then they become blueprints: without their colours, as a negative in blue ink on yellowish paper, with
grain. The nouns and the style were written down before any figure was measured, and nothing here depends on one.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.synthetic.drawing import choose_size, draw_image
from stages.synthetic.frequencies import draw_noun
from stages.synthetic.layout import Group, place
from stages.synthetic.nouns import BY_NAME, confusable
from stages.synthetic.randomness import Stream

NOUNS = ("anchor", "canoe", "flamingo", "hedgehog", "printer", "wrench")  # of the tier "unseen"
SPLITS = {"train": 1, "valid": 2, "test": 3}  # seeds of the scenes
INK, PAPER = (34, 44, 96), (244, 232, 202)
GRAIN = 9.0  # standard deviation, of 255
QUALITY = 70  # of the JPEG


def write_task(top: Path, counts: dict[str, int]) -> None:
    """top/SPLIT/annotations_without_background.json and the images beside it, as ODinW's sets lie."""
    for split, count in counts.items():
        folder = top / split
        folder.mkdir(parents=True, exist_ok=True)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for index in range(count):
            jpeg, size, objects = draw(split, index)
            (folder / f"{index}.jpg").write_bytes(jpeg)
            images.append({"id": index, "file_name": f"{index}.jpg", "width": size[0], "height": size[1]})
            for name, (x1, y1, x2, y2) in objects:
                box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
                owner = {"image_id": index, "category_id": NOUNS.index(name) + 1}
                annotations.append({"id": len(annotations) + 1, **owner, **box})
        categories = [{"id": number, "name": name} for number, name in enumerate(NOUNS, 1)]
        dataset = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations_without_background.json").write_text(json.dumps(dataset))


def draw(split: str, index: int) -> tuple[bytes, tuple[int, int], list[tuple[str, tuple[int, int, int, int]]]]:
    """The JPEG of a scene as a blueprint, its (width, height), and the boxes of the nouns in it."""
    stream = Stream(2026, SPLITS[split], index)
    width, height = choose_size(stream)
    groups = choose(stream)
    placed = place(groups, width, height, stream)
    names = [groups[thing.group].noun.name for thing in placed]
    objects = [(name, thing.box) for name, thing in zip(names, placed, strict=True) if name in NOUNS]
    with Image.open(io.BytesIO(draw_image(placed, width, height, stream))) as image:
        pixels = np.asarray(image.convert("RGB"))
    buffer = io.BytesIO()
    grain = np.random.default_rng([SPLITS[split], index]).normal(0, GRAIN, (height, width, 1))
    Image.fromarray(blueprint(pixels, grain)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue(), (width, height), objects


def choose(stream: Stream) -> list[Group]:
    """One or two of the nouns, and up to two other things."""
    first = stream.pick(NOUNS)
    wanted = [first, stream.pick([name for name in NOUNS if name != first])][: stream.integer(1, 2)]
    nouns = [BY_NAME[name] for name in wanted]
    others = len(nouns) + stream.integer(0, 2)
    while len(nouns) < others:
        noun = draw_noun("gold", stream)
        if not any(confusable(noun, own) or noun is own for own in nouns):
            nouns.append(noun)
    return [Group(noun, "", noun.colour, 1) for noun in nouns]


def blueprint(pixels: NDArray[np.uint8], grain: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(H, W, 3), (H, W, 1) -> (H, W, 3): a blueprint of it, what is light in ink and what is dark in paper."""
    light = (pixels @ np.array([0.299, 0.587, 0.114]) / 255)[..., None]  # (H, W, 1)
    colours = np.array(INK) * light + np.array(PAPER) * (1 - light) + grain
    return np.clip(colours, 0, 255).astype(np.uint8)
