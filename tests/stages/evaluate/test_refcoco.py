"""Referring segmentation by hand, and on scenes, whose masks are exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.evaluate.refcoco import evaluate_refcoco
from stages.images import decode_rgb
from stages.synthetic import draw_scene, scene_masks
from tests.stages.evaluate import refcoco_files
from tests.stages.evaluate.refcoco_files import CUP, DOG

UPPER_DOG = (60.0, 10.0, 90.0, 45.0)  # half of it
Measure = Callable[..., dict[str, Any]]


@pytest.fixture
def measure(io: Any, scripted: Any, paint: Callable[..., str], tmp_path: Path) -> Measure:
    """The image a.png has the grey level 1, b.png 2."""

    def run(script: dict[str, Any], segmenter: Any = None, level: int = 1, **options: Any) -> dict[str, Any]:
        data = refcoco_files.by_hand(tmp_path / "files")
        teacher = scripted({(level, text): boxes for text, boxes in script.items()}, **options.pop("scripted", {}))
        run.teacher = teacher  # type: ignore[attr-defined]
        images = paint({"a.png": 1, "b.png": 2})
        return evaluate_refcoco(teacher, io, data, images, 10, lambda done: None, segmenter=segmenter, **options)

    return run


def test_every_figure_by_hand(measure: Measure, cutter: Any) -> None:
    """The cup is found, the upper half of the dog, and once nothing.

    Intersections 1600, 1050, 0; unions 1600, 2100, 2100. Box IoUs 1, 1/2 (which is not above 1/2), 0.
    """
    result = measure({"left cup": [(CUP, 0.9, 0)], "the dog": [(UPPER_DOG, 0.8, 0), (DOG, 0.7, 0)]}, cutter())
    assert result["oIoU"] == pytest.approx(100 * 2650 / 5800)
    assert result["mIoU"] == pytest.approx(50)
    assert [result[f"P@{level}"] for level in (0.5, 0.6, 0.7, 0.8, 0.9)] == pytest.approx([200 / 3, *[100 / 3] * 4])
    assert result["box_accuracy"] == pytest.approx(100 / 3)
    assert (result["expressions"], result["found"], result["pictures"], result["split"]) == (3, 2, 1, "val")


def test_a_perfect_answer_has_100_everywhere(measure: Measure, cutter: Any) -> None:
    script = {"left cup": [(CUP, 0.9, 0)], "the dog": [(DOG, 0.2, 0)], "brown dog": [(DOG, 0.9, 0), (CUP, 0.3, 0)]}
    result = measure(script, cutter())
    figures = ["oIoU", "mIoU", "P@0.5", "P@0.6", "P@0.7", "P@0.8", "P@0.9", "box_accuracy"]
    assert [result[name] for name in figures] == pytest.approx([100] * 8)


def test_the_whole_sentence_is_the_phrase_and_an_image_is_cut_once(measure: Measure, cutter: Any) -> None:
    segmenter = cutter()
    measure({"left cup": [(CUP, 0.9, 0)], "the dog": [(DOG, 0.8, 0)]}, segmenter)
    (call,) = measure.teacher.calls  # type: ignore[attr-defined]
    assert call["captions"] == ["left cup", "the dog", "brown dog"]
    assert call["spans"] == [[[(0, 8)]], [[(0, 7)]], [[(0, 9)]]]
    assert segmenter.images == 1


def test_masks_and_boxes_are_judged_apart(measure: Measure, cutter: Any) -> None:
    """The right box, whose mask is empty."""
    nothing = np.zeros((80, 100), np.bool_)
    result = measure({"left cup": [(CUP, 0.9, 0)]}, cutter({CUP: nothing}))
    assert (result["oIoU"], result["mIoU"]) == (0, 0)
    assert result["box_accuracy"] == pytest.approx(100 / 3)


def test_without_a_segmenter_boxes_alone_are_measured(measure: Measure) -> None:
    result = measure({"left cup": [(CUP, 0.9, 0)]})
    assert result["box_accuracy"] == pytest.approx(100 / 3) and "oIoU" not in result and "P@0.5" not in result


def test_another_split_a_failed_image_and_a_sentence_that_is_too_long(measure: Measure, cutter: Any) -> None:
    result = measure({"dog of b": [(DOG, 0.9, 0)]}, cutter(), level=2, split="testA")
    assert (result["oIoU"], result["expressions"], result["split"]) == (100, 1, "testA")
    long = {"scripted": {"dropped": {(1, "brown dog"): [(0, "phrase_over_token_limit")]}}}
    unread = measure({"brown dog": [], "the dog": [(DOG, 0.9, 0)]}, cutter(), **long)
    assert unread["not_asked"] == {"phrase_over_token_limit": 1} and unread["expressions"] == 3 and unread["found"] == 1
    failures = {"scripted": {"failures": {(1, "the dog"): "non_finite_scores"}}}
    assert measure({}, cutter(), **failures)["failed"] == {"non_finite_scores": 1}


class Knowing:
    """Grounds each name at its first object of the scene, and cuts out that object's true mask."""

    def __init__(self, seed: int, count: int) -> None:
        self.scenes = [draw_scene("eval", seed, index) for index in range(count)]
        self.masks = [scene_masks("eval", seed, index) for index in range(count)]
        self.pixels = [decode_rgb(scene.jpeg, 10**7) for scene in self.scenes]

    def number(self, image: Any) -> int:
        return next(i for i, pixels in enumerate(self.pixels) if np.array_equal(pixels, image))

    def ground(self, images: Any, captions: Any, spans: Any, score_floor: float) -> list[Any]:
        import torch

        from model.outputs import Grounding

        found = []
        for image, caption in zip(images, captions, strict=True):
            box = next(box for name, box in self.scenes[self.number(image)].objects if name == caption)
            found.append(Grounding(torch.tensor([box]), torch.tensor([0.9]), torch.tensor([0])))
        return found

    def segment(self, image: Any, boxes: Any) -> Any:
        from model.segmenter import Segment

        number = self.number(image)
        corners = [box for _, box in self.scenes[number].objects]
        for box in boxes.tolist():
            yield Segment(self.masks[number][corners.index(tuple(box))], 1.0)


def test_scenes_give_exact_masks(io: Any, tmp_path: Path) -> None:
    """Whoever knows the scenes is right wherever a name means one object; of several alike, at the first."""
    data, images = refcoco_files.of_scenes(tmp_path, 6)
    knowing: Any = Knowing(3, 6)
    result = evaluate_refcoco(knowing, io, data, images, 6, lambda done: None, segmenter=knowing)
    names = [[name for name, _ in scene.objects] for scene in knowing.scenes]
    alike = sum(len(own) - len(set(own)) for own in names)
    objects = sum(map(len, names))
    assert objects > 12
    assert result["expressions"] == result["found"] == objects
    assert result["P@0.9"] == result["mIoU"] == pytest.approx(100 * (objects - alike) / objects)
    assert result["box_accuracy"] == pytest.approx(100 * (objects - alike) / objects)
