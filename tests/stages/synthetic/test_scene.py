"""A scene is the same wherever and in whatever order it is drawn."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.synthetic import Scene, draw_scene, scene_masks, scene_size

ROOT = Path(__file__).resolve().parents[3]


DIGEST = """
import hashlib, sys
from stages.synthetic import draw_scene
for split in ("gold", "web", "eval"):
    for index in map(int, sys.argv[1:]):
        scene = draw_scene(split, 5, index)
        print(split, index, hashlib.sha256(scene.jpeg + repr(scene).encode()).hexdigest())
"""


def test_a_scene_does_not_depend_on_process_or_order() -> None:
    indices = [7, 0, 1999, 3, 12345]
    runs = []
    for order in (indices, indices[::-1]):
        command = [sys.executable, "-c", DIGEST, *map(str, order)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        runs.append(sorted(done.stdout.splitlines()))
    here = []
    for split in ("gold", "web", "eval"):
        for index in indices:
            scene = draw_scene(split, 5, index)
            here.append(f"{split} {index} {hashlib.sha256(scene.jpeg + repr(scene).encode()).hexdigest()}")
    assert runs[0] == runs[1] == sorted(here)
    assert len({line.split()[2] for line in here}) == 15  # splits and indices all differ
    assert draw_scene("web", 6, 7) != draw_scene("web", 5, 7)


@pytest.mark.parametrize(("split", "seed", "index"), [("train", 0, 0), ("web", -1, 0), ("web", 0, -1)])
def test_arguments_that_make_no_sense_are_refused(split: str, seed: int, index: int) -> None:
    with pytest.raises(ValueError, match="scene"):
        draw_scene(split, seed, index)


def test_images_decode_and_have_the_promised_sizes(web: list[Scene]) -> None:
    sizes = Counter()
    for index, scene in enumerate(web[:300]):
        image_file = Image.open(io.BytesIO(scene.jpeg))
        image_file.load()
        assert (image_file.format, image_file.mode, image_file.size) == ("JPEG", "RGB", (scene.width, scene.height))
        assert scene_size("web", 11, index) == image_file.size
        assert min(image_file.size) == 224
        sizes[image_file.size] += 1
    assert set(sizes) == {(224, 224)} | {size for long in (256, 288, 320) for size in ((long, 224), (224, long))}


def test_masks_are_what_is_seen_of_each_object() -> None:
    hidden = 0
    for index in range(40):
        scene, masks = draw_scene("eval", 3, index), scene_masks("eval", 3, index)
        assert len(masks) == len(scene.objects) > 0
        assert np.sum(masks, axis=0).max() == 1  # no pixel shows two objects
        for number, (mask, (_, box)) in enumerate(zip(masks, scene.objects, strict=True)):
            assert mask.shape == (scene.height, scene.width)
            x1, y1, x2, y2 = map(int, box)
            rows, columns = np.nonzero(mask)
            found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert x1 <= found[0] and y1 <= found[1] and found[2] <= x2 and found[3] <= y2
            later = np.any(masks[number + 1 :], axis=0) if number + 1 < len(masks) else np.zeros(mask.shape, bool)
            if later[y1:y2, x1:x2].any():
                hidden += 1
            else:
                assert found == (x1, y1, x2, y2)  # the box is the one around all of it
    assert hidden > 10


def test_masks_show_where_the_image_differs_from_one_without_the_object() -> None:
    """The last object is the uppermost: its colours lie where its mask says, and nowhere else in its box."""
    scene, masks = draw_scene("eval", 3, 4), scene_masks("eval", 3, 4)
    pixels = np.asarray(Image.open(io.BytesIO(scene.jpeg)).convert("RGB")).astype(np.float64)
    x1, y1, x2, y2 = map(int, scene.objects[-1][1])
    inside = masks[-1][y1:y2, x1:x2]
    own, around = pixels[y1:y2, x1:x2][inside], pixels[y1:y2, x1:x2][~inside]
    assert len(own) > 100 and len(around) > 100
    assert np.abs(own.mean(axis=0) - around.mean(axis=0)).max() > 20
