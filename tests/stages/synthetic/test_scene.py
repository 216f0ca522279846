"""A scene is the same wherever and in whatever order it is drawn."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from stages.synthetic import Scene, draw_scene, scene_size

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
