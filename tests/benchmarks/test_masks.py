"""The benchmark of masks runs on a tiny checkpoint, and both sides of it give the same masks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from benchmarks import masks
from benchmarks.record import ROOT
from model.segmenter import Segmenter
from tests.model import tiny_sam


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    checkpoint = tiny_sam.save("sam", tmp_path / "sam")
    command = [sys.executable, "-m", "benchmarks.masks", "--families", "sam", "--images", "1", "--boxes", "3"]
    command += ["--checkpoint", str(checkpoint), "--out", str(tmp_path / "result.json")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["command"] == f"python -m benchmarks.masks {' '.join(command[3:-2])}"
    assert (result["images"], result["boxes"], list(result["families"])) == (1, 3, ["sam"])
    assert result["families"]["sam"].keys() == {
        "seconds_per_image", "seconds_per_image_range", "encode_seconds", "seconds_per_box",
        "library_seconds_per_image", "library_seconds_per_image_range",
    }  # fmt: skip


def test_both_sides_compute_the_same(tmp_path: Path) -> None:
    segmenter = Segmenter.open(tiny_sam.save("sam_hq", tmp_path), "cpu")
    image, boxes = masks.drawn(0, 4)
    mine = masks.ours(segmenter, image, boxes)
    theirs = masks.library("sam_hq", tmp_path, segmenter)(image, boxes)
    assert len(mine) == len(theirs) == 4
    size = [masks.HEIGHT, masks.WIDTH]
    for one, other in zip(mine, theirs, strict=True):
        pair = [coco_masks.decode({"size": size, "counts": counts}) for counts in (one, other)]
        assert np.mean(pair[0] == pair[1]) > 0.9995
