"""benchmarks/select.py compares two selections of the same boxes, of the kinds that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import select as module
from benchmarks.host_work import host_work, scaled_decoding
from benchmarks.select import EVERYTHING, KINDS, both, boxes_of, candidates_of, outputs_of, postprocessing
from model.geometry import pairwise_iou
from model.outputs import Grounding
from model.postprocess import rank
from model.selection import OFFICIAL


def test_the_kinds_of_boxes_overlap_as_they_say() -> None:
    shares = {}
    for kind in KINDS:
        (own,) = boxes_of(kind, 1, 200)
        shares[kind] = float((pairwise_iou(own, own) > 0.6).float().mean())
        assert own.shape == (200, 4) and bool((own[:, 2:] > own[:, :2]).all())
    assert shares["spread"] < 0.01 < shares["crowd"] < shares["objects"]


def test_both_selections_are_timed_on_what_they_agree_on(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = both(candidates_of("crowd", 3, 40), EVERYTHING, 1)
    assert 3 < figures["boxes"] < 120 and {*figures} == {"boxes", "before_ms", "after_ms"}
    nothing = [Grounding.empty()]
    monkeypatch.setattr(module, "select", lambda *_: nothing)
    with pytest.raises((AssertionError, ValueError)):
        both(candidates_of("crowd", 3, 40), EVERYTHING, 1)


def test_the_head_outputs_have_the_candidates_that_are_asked_for() -> None:
    ranked = rank(outputs_of(4300), [module.PHRASES], OFFICIAL)
    assert int((ranked.scores >= 0).sum()) == 4300
    assert postprocessing(500, 1)["candidates"] == 500


def test_the_hosts_work_is_measured_on_photos_and_captions(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    for number in range(2):
        pixels = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 36)).save(tmp_path / "images" / f"{number}.jpg")
        images.append({"id": number, "file_name": f"{number}.jpg"})
    annotations = [{"image_id": number, "caption": "a dog and a cat"} for number in range(2)]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    figures = host_work(tmp_path, 2, 1)
    assert {"sha256", "decode", "resize", "prompt", "token maps", "label rows"} < {*figures}
    assert all(value >= 0 for value in figures.values())
    apart = scaled_decoding(tmp_path, 1)
    assert {"share_of_values_that_differ", "largest_difference"} < {*apart}
