"""The contact sheet of scenes, as a person makes it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from stages.synthetic import draw_scene
from stages.synthetic.show import draw_boxes

ROOT = Path(__file__).resolve().parents[3]


def test_boxes_are_drawn_around_objects() -> None:
    scene = next(scene for scene in (draw_scene("web", 0, index) for index in range(50)) if scene.boxes)
    before = np.asarray(Image.open(io.BytesIO(scene.jpeg)).convert("RGB"), dtype=int)
    after = np.asarray(draw_boxes(scene), dtype=int)
    assert after.shape == before.shape
    box = scene.boxes[-1]  # drawn last, so that nothing covers its edge
    edge = after[int(box.y1) : int(box.y2), int(box.x2) - 1]
    assert len(np.unique(edge, axis=0)) <= 1 + len(scene.objects) + len(scene.boxes)  # lines, no photo
    assert (np.abs(after - before).max(axis=2) > 0).mean() < 0.5


def test_the_command_writes_a_sheet(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stages.synthetic.show", str(tmp_path / "sheet.png"), "--count", "7"]
    subprocess.run(command, cwd=ROOT, check=True)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (6 * 324, 2 * (324 + 62))  # six a row
