"""Boxes are where the pixels are, and things that could be taken for one another never meet."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from stages.synthetic import Scene, draw_scene
from stages.synthetic.atlas import cut
from stages.synthetic.layout import MIN_VISIBLE, choose_groups, place, turn
from stages.synthetic.nouns import BY_NAME, confusable
from stages.synthetic.randomness import Stream


def test_boxes_lie_inside_and_belong_to_objects(gold: list[Scene], web: list[Scene]) -> None:
    scenes = gold + web
    assert len(scenes) > 3000
    for scene in scenes:
        assert 1 <= len(scene.objects) <= 6
        for _, (x1, y1, x2, y2) in scene.objects:
            assert 0 <= x1 < x2 <= scene.width
            assert 0 <= y1 < y2 <= scene.height
        pool = Counter(scene.objects)
        owned = Counter((box.category, (box.x1, box.y1, box.x2, box.y2)) for box in scene.boxes)
        assert all(pool[one] >= number for one, number in owned.items())


def test_boxes_are_tight_and_objects_visible() -> None:
    """Pastes every sprite's alpha on empty images and measures there, pixel by pixel."""
    for index in range(150):
        stream = Stream.of_scene("web", 2, index)
        scene = draw_scene("web", 2, index)
        stream.uniform(), stream.uniform()  # the image's size
        placed = place(choose_groups("web", 2, index, stream), scene.width, scene.height, stream)
        assert len(placed) == len(scene.objects)
        solids = []
        for thing, (_, box) in zip(placed, scene.objects, strict=True):
            layer = Image.new("L", (scene.width, scene.height))
            sprite = thing.sprite
            alpha = sprite.image.getchannel("A")
            layer.paste(alpha, (thing.x - sprite.left, thing.y - sprite.top))
            opaque = np.asarray(layer) / 255.0 > 0.3
            assert Image.fromarray(opaque).getbbox() == box
            solids.append((opaque, np.count_nonzero(np.asarray(alpha) / 255.0 > 0.3)))
        for number, (opaque, area) in enumerate(solids):
            hidden = np.zeros_like(opaque)
            for above, _ in solids[number + 1 :]:
                hidden |= above
            assert np.count_nonzero(opaque & ~hidden) >= MIN_VISIBLE * area


def test_boxes_are_where_the_pixels_are() -> None:
    """In scenes on a plain background, the boxes together span what differs from the background."""
    plain = fitting = 0
    for index in range(260):
        scene = draw_scene("web", 4, index)
        pixels = np.asarray(Image.open(io.BytesIO(scene.jpeg)).convert("RGB"), dtype=int)
        corners = np.array([box for _, box in scene.objects])
        box = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
        x1, y1, x2, y2 = (int(value) for value in box)
        outside = np.ones(pixels.shape[:2], dtype=bool)
        outside[max(0, y1 - 12) : y2 + 12, max(0, x1 - 12) : x2 + 12] = False
        around = pixels[outside]
        if outside.mean() < 0.3 or np.ptp(around, axis=0).max() > 4:
            continue  # too little background left to judge, or one with a pattern
        far = np.abs(pixels - np.median(around, axis=0)).max(axis=2) > 25
        columns, rows = np.flatnonzero(far.any(axis=0)), np.flatnonzero(far.any(axis=1))
        wider = np.array([-1, -1, 1, 1]) * (np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) - box)
        # What has the background's colour cannot be seen: the measured box may be smaller, never larger.
        assert wider.max() <= 4, index
        plain += 1
        fitting += int(wider.min() >= -4)
    assert plain >= 15
    assert fitting >= 0.75 * plain, (fitting, plain)


@pytest.mark.parametrize("angle", [-75.0, -20.0, 0.0, 25.0, 90.0])
@pytest.mark.parametrize("flip", [False, True])
def test_turned_sprites_agree_with_pillow(angle: float, flip: bool) -> None:
    for name in ("giraffe", "scissors", "ladder", "banana"):
        sprite = cut(BY_NAME[name])
        ours = turn(BY_NAME[name], "", 100.0, angle, flip).solid
        scale = 100.0 / max(sprite.size)
        other = sprite.resize([round(side * scale) for side in sprite.size], Image.Resampling.LANCZOS)
        other = other.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else other
        other = other.rotate(-angle, Image.Resampling.BICUBIC, expand=True)
        theirs = np.asarray(other.getchannel("A")) > 76
        theirs = theirs[np.ix_(theirs.any(axis=1), theirs.any(axis=0))]
        assert np.abs(np.subtract(ours.shape, theirs.shape)).max() <= 3, name
        height, width = np.minimum(ours.shape, theirs.shape)
        assert np.mean(ours[:height, :width] == theirs[:height, :width]) > 0.93, name


def test_confusable_nouns_never_meet(web: list[Scene]) -> None:
    assert confusable(BY_NAME["tree"], BY_NAME["pine tree"])
    assert confusable(BY_NAME["taxi"], BY_NAME["car"])
    assert not confusable(BY_NAME["apple"], BY_NAME["pineapple"])
    for scene in web:
        names = sorted({name for name, _ in scene.objects} | set(scene.span_nouns))
        for number, one in enumerate(names):
            for two in names[number + 1 :]:
                assert not confusable(BY_NAME[one], BY_NAME[two]), (one, two)
