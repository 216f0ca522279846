"""Masks on scenes: by hand, by whoever knows them, and in a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model.outputs import Grounding
from model.segmenter import Segment
from pipeline.cli.commands import Options, run_stage
from stages.agreement import Claims
from stages.evaluate.scene_masks import SceneMasks
from stages.evaluate.scenes import evaluate_scenes
from stages.images import decode_rgb
from stages.phrases import NounPhrase
from stages.synthetic import draw_scene, scene_masks
from tests.model import tiny_sam
from tests.stages.evaluate.test_scenes import CAT, DOG, FIRST, RARE, THING, scene

SCENE = scene(40, FIRST, {"a dog": "dog", "the thing": RARE}, [(0, DOG), (1, THING)],
              [("cat", CAT), ("dog", DOG), (RARE, THING)])  # fmt: skip


def filled(*corners: float) -> np.ndarray:
    mask = np.zeros((80, 100), np.bool_)
    x1, y1, x2, y2 = map(int, corners)
    mask[y1:y2, x1:x2] = True
    return mask


def test_right_boxes_above_the_threshold_count_by_hand(cutter: Any) -> None:
    """The dog's true mask is the upper half of its box, the thing's all of it; a wrong and a low box do not count."""
    true = [filled(*CAT), filled(10, 10, 50, 30), filled(*THING)]
    boxes = torch.tensor([DOG, CAT, THING, THING])
    found = Grounding(boxes, torch.tensor([0.9, 0.8, 0.7, 0.4]), torch.tensor([0, 0, 1, 1]))
    claims = Claims(np.array([0, -1, 1, 1]), np.array([1.0, 0.0, 1.0, 1.0]))
    segmenter = cutter()
    masks = SceneMasks(segmenter, 0.5)
    masks.add(SCENE, true, decode_rgb(SCENE.jpeg, 10**5), found, claims)
    assert (masks.both, masks.either, segmenter.images) == ([800, 900], [1600, 900], 1)
    figures = masks.figures()
    assert (figures["boxes"], figures["mIoU"], figures["P@0.6"]) == (2, pytest.approx(75), 50)
    assert figures["oIoU"] == pytest.approx(100 * 1700 / 2500)


def test_without_right_boxes_no_image_is_encoded(cutter: Any) -> None:
    segmenter = cutter()
    masks = SceneMasks(segmenter, 0.95)
    found = Grounding(torch.tensor([DOG]), torch.tensor([0.9]), torch.tensor([0]))
    masks.add(SCENE, [filled(*DOG)], decode_rgb(SCENE.jpeg, 10**5), found, Claims(np.array([0]), np.array([1.0])))
    assert masks.figures() == {"boxes": 0} and segmenter.images == 0


class Knowing:
    """Finds the true boxes of each phrase, and cuts out the true masks."""

    def __init__(self, seed: int, count: int) -> None:
        self.scenes = [draw_scene("eval", seed, index) for index in range(count)]
        self.masks = [scene_masks("eval", seed, index) for index in range(count)]
        self.pixels = [decode_rgb(own.jpeg, 10**7) for own in self.scenes]

    def extract(self, captions: list[str]) -> list[list[NounPhrase]]:
        found = {own.caption: own.spans for own in self.scenes}
        return [[NounPhrase(*span, "", "", "") for span in found[caption]] for caption in captions]

    def detect(self, images: Any, categories: Any, score_floor: float) -> list[Grounding]:
        return [Grounding.empty() for _ in images]

    def ground(self, images: Any, captions: Any, spans: Any, score_floor: float) -> list[Grounding]:
        gold = {own.caption: own.boxes for own in self.scenes}
        return [
            Grounding(
                torch.tensor([box.corners for box in gold[caption]]).reshape(-1, 4),
                torch.full((len(gold[caption]),), 0.9),
                torch.tensor([box.span for box in gold[caption]], dtype=torch.int64),
            )
            for caption in captions
        ]

    def segment(self, image: Any, boxes: Any) -> Iterator[Segment]:
        number = next(i for i, pixels in enumerate(self.pixels) if np.array_equal(pixels, image))
        corners = [box for _, box in self.scenes[number].objects]
        for box in boxes.tolist():
            yield Segment(self.masks[number][corners.index(tuple(box))], 1.0)


def test_whoever_knows_the_scenes_cuts_them_out_to_the_pixel() -> None:
    knowing: Any = Knowing(3, 6)
    result = evaluate_scenes(knowing, knowing, 6, 3, 0.5, lambda done: None, segmenter=knowing)
    assert result["masks"]["boxes"] == sum(len(own.boxes) for own in knowing.scenes) > 10
    assert [result["masks"][name] for name in ("oIoU", "mIoU", "P@0.9")] == pytest.approx([100] * 3)
    without = evaluate_scenes(knowing, knowing, 2, 3, 0.5, lambda done: None)
    assert "masks" not in without


def test_a_run_with_masks_measures_them(tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = {
        "ingest.count": 1,
        "label.teacher": "glip-nano",
        "mask.model": tiny_sam.save("sam2", tmp_path / "sam2"),
        "evaluate.models": "[teacher]",
        "evaluate.count": 4,
    }
    run_stage(None, [f"{key}={value}" for key, value in settings.items()], str(run), "ingest", Options(inline=True))
    run_stage(None, [], str(run), "evaluate", Options(inline=True))
    result = json.loads((run / "evaluation" / "scenes-teacher.json").read_text())
    at = result["agreement"]["all"]["at"]
    assert result["masks"]["boxes"] == at["right"] > 0 and 0 <= result["masks"]["mIoU"] < 100
