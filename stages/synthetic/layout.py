"""Which things a scene shows and where: groups of like objects, each object with its sprite, place and box."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from stages.synthetic.atlas import SCALES, pyramid
from stages.synthetic.frequencies import draw_noun, rare_noun_at
from stages.synthetic.nouns import Noun, confusable
from stages.synthetic.randomness import Stream, cumulative

MIN_VISIBLE = 0.55  # the share of an object's pixels that neither others nor the image's edge may hide
SOLID = 77  # alpha of 0.3 in 0..255: what is fainter belongs to no box
MOST_OBJECTS = 6
SMALLEST, LARGEST = 30, 130  # the long side of an unturned sprite, pixels
_TRIES = 14

_GROUP_SUMS = cumulative([20, 32, 30, 18])
_COUNT_SUMS = cumulative([80, 12, 5, 3])

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Group:
    """Objects that one phrase may name: one noun in one colour. colour is its true name, "" where none is fair."""

    noun: Noun
    tint: str
    colour: str
    count: int


@dataclass(frozen=True)
class Sprite:
    """A turned and scaled sprite (RGBA) and its solid pixels; solid is cut to their bounding box at (left, top)."""

    image: Image.Image
    solid: np.ndarray  # (h, w) bool
    left: int
    top: int


@dataclass(frozen=True)
class Placed:
    """An object in the image: box is half-open, tight around its solid pixels and clipped to the image."""

    group: int
    sprite: Sprite
    x: int  # where the sprite's solid part begins; may lie outside the image
    y: int
    box: Box
    long_side: float
    hides: dict[int, float]  # earlier object -> the share of its pixels that this one hides


def choose_groups(split: str, seed: int, index: int, stream: Stream) -> list[Group]:
    """The wanted groups; in gold a rare noun that is due comes first and alone of its kind."""
    due = rare_noun_at(split, seed, index)
    groups = [_group(due, stream, 1)] if due else []
    room = MOST_OBJECTS - len(groups)
    wanted = stream.weighted((1, 2, 3, 4), _GROUP_SUMS)
    while len(groups) < wanted and room > 0:
        again = _in_another_colour(groups, stream)
        noun = draw_noun(split, stream)
        if again is None and any(confusable(group.noun, noun) for group in groups):
            continue
        count = stream.weighted((1, 2, 3, 4), _COUNT_SUMS) if noun.kind == "count" else 1
        group = again or _group(noun, stream, min(count, room))
        groups.append(group)
        room -= group.count
    return groups


def _group(noun: Noun, stream: Stream, count: int) -> Group:
    tint = stream.pick(noun.tints) if noun.tints else ""
    return Group(noun, tint, tint or noun.colour, count)


def _in_another_colour(groups: list[Group], stream: Stream) -> Group | None:
    """Now and then the same thing in another colour, so that the colour word decides."""
    if not groups or groups[-1].noun.tier == "rare" or not stream.chance(0.12):
        return None
    last = groups[-1]
    used = {group.tint for group in groups if group.noun is last.noun}
    others = [tint for tint in last.noun.tints if tint not in used]
    if not others:
        return None
    tint = stream.pick(others)
    return Group(last.noun, tint, tint, 1)


def turn(noun: Noun, tint: str, long_side: float, angle: float, flip: bool) -> Sprite:
    """The sprite at this size (pixels, before turning), turned by angle (degrees), mirrored if flip."""
    levels = pyramid(noun, tint)
    scale = long_side / max(levels[0].size)
    level = max(i for i, step in enumerate(SCALES) if scale <= step or i == 0)
    source, zoom = levels[level], scale / SCALES[level]
    width, height = source.size
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    out_width = math.ceil((abs(width * cos) + abs(height * sin)) * zoom) + 2
    out_height = math.ceil((abs(width * sin) + abs(height * cos)) * zoom) + 2
    # Output pixel (u, v) shows source pixel (a u + b v + c, d u + e v + f).
    mirror = -1.0 if flip else 1.0
    a, b, d, e = mirror * cos / zoom, mirror * sin / zoom, -sin / zoom, cos / zoom
    c = width / 2 - a * out_width / 2 - b * out_height / 2
    f = height / 2 - d * out_width / 2 - e * out_height / 2
    turned = source.transform(
        (out_width, out_height), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR
    )
    image = turned.convert("RGBA")
    solid = np.asarray(image.getchannel("A")) >= SOLID
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return Sprite(image, solid[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], left, top)


def place(groups: list[Group], width: int, height: int, stream: Stream) -> list[Placed]:
    """Places as many of the wanted objects as fit, in painting order; the first always fits."""
    order = [number for number, group in enumerate(groups) for _ in range(group.count)]
    board = _Board(width, height)
    largest = LARGEST if len(order) <= 3 else 100
    sizes: dict[int, float] = {}
    for number in order:
        base = SMALLEST * (largest / SMALLEST) ** stream.uniform()
        # Like things are of like size, so that a size word can be true of all of them.
        long_side = min(largest, max(SMALLEST, sizes.setdefault(number, base) * stream.uniform(0.88, 1.12)))
        group = groups[number]
        sprite = turn(group.noun, group.tint, long_side, _angle(stream), stream.chance(0.5))
        board.add(number, sprite, long_side, stream)
    return board.placed


def _angle(stream: Stream) -> float:
    kind = stream.uniform()
    return stream.uniform(-6, 6) if kind < 0.4 else stream.uniform(-25, 25) if kind < 0.93 else stream.uniform(-90, 90)


class _Board:
    """The image as it fills up: which object each pixel shows, and how much of each object is left to see."""

    def __init__(self, width: int, height: int) -> None:
        self.placed: list[Placed] = []
        self._width, self._height = width, height
        self._shown = np.zeros((height, width), dtype=np.uint8)  # 0: background, k: object k - 1
        self._visible: list[int] = []
        self._area: list[int] = []

    def add(self, group: int, sprite: Sprite, long_side: float, stream: Stream) -> bool:
        """Puts a sprite on top of the others where it hides none of them too much; False if no place was found."""
        tall, wide = sprite.solid.shape
        close = bool(self.placed) and stream.chance(0.4)
        for attempt in range(_TRIES):
            x, y = self._near(wide, tall, stream) if close and attempt < 6 else self._anywhere(wide, tall, stream)
            box = (max(0, x), max(0, y), min(self._width, x + wide), min(self._height, y + tall))
            if box[2] <= box[0] or box[3] <= box[1]:
                continue
            if not close and attempt < 10 and any(_overlap(box, other.box) > 0.02 for other in self.placed):
                continue
            hides = self._paint(sprite.solid, x, y, box)
            if hides is not None:
                # The solid part inside the image may be narrower than the clipped rectangle.
                tight = _tighten(sprite.solid, x, y, box)
                self.placed.append(Placed(group, sprite, x, y, tight, long_side, hides))
                return True
        return False

    def _anywhere(self, wide: int, tall: int, stream: Stream) -> tuple[int, int]:
        if stream.chance(0.08):  # over the edge
            x = stream.integer(-wide // 4, self._width - 3 * wide // 4)
            return x, stream.integer(-tall // 4, self._height - 3 * tall // 4)
        return stream.integer(0, max(0, self._width - wide)), stream.integer(0, max(0, self._height - tall))

    def _near(self, wide: int, tall: int, stream: Stream) -> tuple[int, int]:
        """Touching or partly over the object placed last."""
        x1, y1, x2, y2 = self.placed[-1].box
        reach = stream.uniform(0.6, 1.05)
        shift = stream.uniform(-0.3, 0.3)
        if stream.chance(0.75):
            away = (wide + x2 - x1) / 2 * reach * (1 if stream.chance(0.5) else -1)
            cx, cy = (x1 + x2) / 2 + away, (y1 + y2) / 2 + (tall + y2 - y1) / 2 * shift
        else:
            away = (tall + y2 - y1) / 2 * reach * (1 if stream.chance(0.5) else -1)
            cx, cy = (x1 + x2) / 2 + (wide + x2 - x1) / 2 * shift, (y1 + y2) / 2 + away
        x, y = int(cx - wide / 2), int(cy - tall / 2)
        return min(max(0, x), max(0, self._width - wide)), min(max(0, y), max(0, self._height - tall))

    def _paint(self, solid: np.ndarray, x: int, y: int, box: Box) -> dict[int, float] | None:
        """Claims the sprite's pixels and says what they hide; None if any object would then show too little."""
        x1, y1, x2, y2 = box
        inside = solid[y1 - y : y2 - y, x1 - x : x2 - x]
        area, own = int(np.count_nonzero(solid)), int(np.count_nonzero(inside))
        if own < MIN_VISIBLE * area:
            return None
        shown = self._shown[y1:y2, x1:x2]
        hidden = np.bincount(shown[inside], minlength=len(self.placed) + 1)[1:].tolist()
        left = [visible - lost for visible, lost in zip(self._visible, hidden, strict=True)]
        if any(now < MIN_VISIBLE * full for now, full in zip(left, self._area, strict=True)):
            return None
        shown[inside] = len(self.placed) + 1
        self._visible = [*left, own]
        self._area.append(area)
        return {number: lost / self._area[number] for number, lost in enumerate(hidden) if lost}


def _tighten(solid: np.ndarray, x: int, y: int, box: Box) -> Box:
    x1, y1, x2, y2 = box
    if x1 == x and y1 == y and x2 - x == solid.shape[1] and y2 - y == solid.shape[0]:
        return box
    inside = solid[y1 - y : y2 - y, x1 - x : x2 - x]
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return x1 + int(columns[0]), y1 + int(rows[0]), x1 + int(columns[-1]) + 1, y1 + int(rows[-1]) + 1


def _overlap(a: Box, b: Box) -> float:
    """The shared area as a part of the smaller box."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or tall <= 0:
        return 0.0
    return wide * tall / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
