"""draw_scene: one image-caption pair with its gold, from (split, seed, index) alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners, GoldBox
from stages.synthetic.captions import write_caption
from stages.synthetic.drawing import choose_size, draw_image
from stages.synthetic.layout import Group, Placed, choose_groups, place
from stages.synthetic.randomness import Stream


@dataclass(frozen=True)
class Scene:
    """One pair. spans: [start, end) of every phrase that names a thing, in order; without a box if it is not there.
    span_nouns: the name (in NOUNS) of the thing that each span names, which may use a synonym.

    boxes: of what the phrases name; absolute pixels, half-open.
    objects: everything in the image, mentioned or not: (category, (x1, y1, x2, y2)), in painting order.
    """

    jpeg: bytes
    width: int
    height: int
    caption: str
    spans: list[tuple[int, int]]
    span_nouns: list[str]
    boxes: list[GoldBox]
    objects: list[tuple[str, Corners]]


def draw_scene(split: str, seed: int, index: int) -> Scene:
    """The scene at index (from 0) of a split ("gold", "web" or "eval") under a seed; the same bytes every time.

    Raises ValueError for an unknown split, a negative seed or a negative index.
    """
    stream, (width, height), groups, placed = _laid_out(split, seed, index)
    caption = write_caption(split, groups, placed, stream)
    objects = [(groups[thing.group].noun.name, _floats(thing.box)) for thing in placed]
    boxes = [
        GoldBox(span, *_floats(thing.box), category=groups[thing.group].noun.name)
        for span, group in enumerate(caption.groups)
        for thing in placed
        if group is not None and thing.group == group
    ]
    jpeg = draw_image(placed, width, height, stream)
    return Scene(jpeg, width, height, caption.text, caption.spans, caption.nouns, boxes, objects)


def scene_nouns(split: str, seed: int, index: int) -> frozenset[str]:
    """The names of everything in the image of a scene, without drawing it."""
    _, _, groups, placed = _laid_out(split, seed, index)
    return frozenset(groups[thing.group].noun.name for thing in placed)


def scene_masks(split: str, seed: int, index: int) -> list[NDArray[np.bool_]]:
    """(H, W) of each of the scene's objects, in the order of `objects`: its solid pixels that no later one hides."""
    _, (width, height), _, placed = _laid_out(split, seed, index)
    shown = np.full((height, width), -1)  # which object each pixel shows
    for number, thing in enumerate(placed):
        x1, y1, x2, y2 = thing.box
        inside = thing.sprite.solid[y1 - thing.y : y2 - thing.y, x1 - thing.x : x2 - thing.x]
        shown[y1:y2, x1:x2][inside] = number
    return [shown == number for number in range(len(placed))]


def scene_caption(split: str, seed: int, index: int) -> str:
    """The caption of a scene, without drawing it."""
    stream, _, groups, placed = _laid_out(split, seed, index)
    return write_caption(split, groups, placed, stream).text


def scene_size(split: str, seed: int, index: int) -> tuple[int, int]:
    """(width, height) of a scene without drawing it."""
    return choose_size(Stream.of_scene(split, seed, index))


def _laid_out(split: str, seed: int, index: int) -> tuple[Stream, tuple[int, int], list[Group], list[Placed]]:
    """The scene's stream as the caption finds it, its (width, height), and what lies where."""
    stream = Stream.of_scene(split, seed, index)
    width, height = choose_size(stream)
    groups = choose_groups(split, seed, index, stream)
    return stream, (width, height), groups, place(groups, width, height, stream)


def _floats(box: tuple[int, int, int, int]) -> Corners:
    x1, y1, x2, y2 = box
    return float(x1), float(y1), float(x2), float(y2)
