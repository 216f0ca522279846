"""Checkpoints of every family as a teacher: held to the library, alone and in batches, and where they must fail."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from model import teachers
from model.checkpoint import sha256
from model.outputs import Grounding
from model.scheduler import Scheduler
from model.teacher import NON_FINITE, OVER_LIMIT, Query, TeacherError
from model.teachers.transformers import FAMILIES, TOO_SMALL, TransformersTeacher, best, in_pixels
from schemas.config import LabelConfig
from schemas.reasons import REJECTED
from tests.hub import COMMIT, serving
from tests.model.teachers.by_library import found_by_library
from tests.model.teachers.conftest import Folder, Open

CAPTIONS = [
    "A red umbrella behind a dog",
    "a tree",
    "two cats. a small dog? and a bird",
    "an old man",
]
PHRASES = [["A red umbrella", "a dog"], ["a tree"], ["two cats", "a small dog", "a bird"], ["an old man"]]
SPANS = [
    [[(caption.index(text), caption.index(text) + len(text))] for text in texts]
    for caption, texts in zip(CAPTIONS, PHRASES, strict=True)
]
every_family = pytest.mark.parametrize("family", FAMILIES)


def label(folder: Path | str, **more: Any) -> LabelConfig:
    return LabelConfig(teacher="transformers", weights=str(folder), device="cpu", **more)


def opened(folder: Path, **more: Any) -> TransformersTeacher:
    section = label(folder, **more)
    teacher = teachers.open_teacher(section.model_copy(update=teachers.resolve(section, "photos")))
    assert isinstance(teacher, TransformersTeacher)
    return teacher


def entries(found: Grounding) -> list[tuple[int, float, list[float]]]:
    """By phrase, then by falling score."""
    rows = zip(found.phrase.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True)
    return sorted(rows, key=lambda row: (row[0], -row[1]))


def assert_same(one: list[Any], other: list[Any], pixels: float = 1e-2) -> None:
    """Scores agree to 1e-4, boxes to `pixels`; of equal scores, either order will do."""
    assert len(one) == len(other) > 0
    assert [row[0] for row in one] == [row[0] for row in other]
    np.testing.assert_allclose([row[1] for row in one], [row[1] for row in other], atol=1e-4, rtol=0)
    for row in one:
        twins = [mine for mine in other if mine[0] == row[0] and abs(mine[1] - row[1]) < 2e-4]
        assert min(np.abs(np.subtract(row[2], mine[2])).max() for mine in twins) < pixels


@every_family
def test_boxes_and_scores_are_those_of_the_library(
    family: str, folder_of: Folder, open_family: Open, images: list[np.ndarray]
) -> None:
    scheduler = Scheduler(open_family(family))
    for image, caption, texts, spans in zip(images, CAPTIONS, PHRASES, SPANS, strict=True):
        (found,) = scheduler.ground([image], [caption], [spans], 0.2)
        assert_same(entries(found), found_by_library(family, folder_of(family), image, texts, caption, 0.2))
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


@every_family
def test_an_image_gets_the_same_in_a_batch_as_alone(family: str, open_family: Open, images: list[np.ndarray]) -> None:
    scheduler = Scheduler(open_family(family), batch_size=4)
    together = scheduler.ground(images, CAPTIONS, SPANS, 0.2)
    assert max(map(len, scheduler.batches)) > 1
    for image, caption, spans, found in zip(images, CAPTIONS, SPANS, together, strict=True):
        assert_same(entries(found), entries(*scheduler.ground([image], [caption], [spans], 0.2)))


@every_family
def test_what_was_grounded_before_changes_no_bit(family: str, folder_of: Folder, images: list[np.ndarray]) -> None:
    """Else labels would depend on which worker had which parts."""
    fresh, used = Scheduler(opened(folder_of(family))), Scheduler(opened(folder_of(family)))
    used.ground(images[1:], CAPTIONS[1:], SPANS[1:], 0.2)
    used.ground(images[:1], ["a dog and a tree"], [[[(0, 5)], [(10, 16)]]], 0.2)
    (one,), (other,) = (s.ground(images[:1], CAPTIONS[:1], SPANS[:1], 0.2) for s in (fresh, used))
    assert len(one.scores) and torch.equal(one.boxes, other.boxes) and torch.equal(one.scores, other.scores)


@every_family
def test_categories_are_phrases(family: str, open_family: Open, images: list[np.ndarray]) -> None:
    scheduler = Scheduler(open_family(family))
    (found,) = scheduler.detect(images[:1], ["dog", "traffic_light", "cup (mug)"], 0.2)
    assert set(found.phrase.tolist()) == {0, 1, 2} and not found.dropped
    caption = "dog. traffic light. cup " if "dino" in family else "-"
    spans = [[(0, 3)], [(5, 18)], [(20, 23)]]
    if "dino" in family:
        assert_same(entries(found), entries(*scheduler.ground(images[:1], [caption], [spans], 0.2)))
    assert entries(found) == entries(*scheduler.detect(images[:1], ["dog", "traffic light", "cup "], 0.2))


@every_family
def test_per_prompt_makes_prompts_of_so_many(family: str, open_family: Open) -> None:
    work = open_family(family).category_work(["dog", "cat", "cow", "bird", "tree"], 2)
    assert [list(prompt.phrases) for prompt in work.prompts] == [[0, 1], [2, 3], [4]]


@every_family
def test_prompts_of_one_image_find_what_each_finds_alone(
    family: str, open_family: Open, images: list[np.ndarray]
) -> None:
    """Several turns, with images that have no prompt any more in the later ones."""
    teacher = open_family(family)
    names = ["dog", "cat", "cow"]
    works = [teacher.category_work(names, 1), teacher.category_work(names[:1])]
    batch = [Query(teacher.prepare(images[i]), images[i].shape[:2], work.prompts) for i, work in zip((0, 2), works)]
    with torch.inference_mode():
        turns = [turn() for turn in teacher.ground(batch, 0.2)]
    assert len(turns) == 3 and [len(turn[1].scores) > 0 for turn in turns] == [True, False, False]
    for number, turn in enumerate(turns):
        (alone,) = Scheduler(teacher).detect(images[:1], [names[number]], 0.2)
        assert set(turn[0].phrase.tolist()) == {number}
        assert_same([(0, *row[1:]) for row in entries(turn[0])], entries(alone))


@every_family
def test_phrases_without_text_are_reported(family: str, open_family: Open, images: list[np.ndarray]) -> None:
    scheduler = Scheduler(open_family(family))
    (found,) = scheduler.ground(images[:1], ["a dog   ."], [[[(0, 5)], [(5, 8)]]], 0.2)
    assert set(found.phrase.tolist()) == {0} and found.dropped == [(1, "phrase_without_tokens")]
    (nothing,) = scheduler.ground(images[:1], [""], [[]], 0.2)
    assert len(nothing.scores) == 0 and not nothing.dropped and nothing.failed is None


@every_family
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_finds_about_the_same(
    family: str, precision: str, folder_of: Folder, open_family: Open, images: list[np.ndarray]
) -> None:
    half = Scheduler(opened(folder_of(family), precision=precision))
    (found,), (exact,) = (
        scheduler.ground(images[:1], CAPTIONS[:1], SPANS[:1], 0.2)
        for scheduler in (half, Scheduler(open_family(family)))
    )
    assert found.failed is None and found.scores.dtype == found.boxes.dtype == torch.float32
    rounded = (found.boxes / 100).to(getattr(torch, {"bf16": "bfloat16", "fp16": "float16"}[precision])).float() * 100
    assert float((rounded - found.boxes).abs().max()) > 0.01  # boxes are finer than that
    assert abs(float(found.scores[0]) - float(exact.scores[0])) < 0.1


@every_family
def test_a_checkpoint_says_what_the_config_leaves_open(family: str, folder_of: Folder) -> None:
    folder = folder_of(family)
    found = teachers.resolve(label(folder), "photos")
    short, long = (96, 160) if "dino" in family else (64, 64)
    assert found == {
        "teacher": "transformers",
        "variant": family,
        "revision": None,
        "weights_sha256": sha256(folder),
        "short": short,
        "long": long,
    }
    once = label(folder).model_copy(update=found)
    assert once.model_copy(update=teachers.resolve(once, "photos")) == once
    assert teachers.resolve(label(folder, short=128, long=128), "photos")["short"] == 128


@pytest.mark.parametrize("family", ["owlv2", "owlvit", "omdet-turbo"])
def test_square_images_have_one_side(family: str, folder_of: Folder) -> None:
    assert teachers.resolve(label(folder_of(family), short=96), "photos")["long"] == 96
    with pytest.raises(TeacherError, match=r"label\.short, label\.long: 96 and 128, but .* takes square images"):
        teachers.resolve(label(folder_of(family), short=96, long=128), "photos")


@every_family
def test_other_sizes_are_taken(family: str, folder_of: Folder, images: list[np.ndarray]) -> None:
    side = 128
    teacher = opened(folder_of(family), short=side, long=side)
    assert max(teacher.pixels.batch([teacher.prepare(images[0])], teacher.device).shape[2:]) == side
    (found,) = Scheduler(teacher).ground(images[:1], CAPTIONS[:1], SPANS[:1], 0.2)
    assert len(found.scores) > 0


def test_a_checkpoint_of_the_hub_is_pinned_to_its_commit(
    folder_of: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path / "cache", monkeypatch) as hub:
        hub.models["owner/name"] = folder_of("owlv2")
        found = teachers.resolve(label("owner/name", revision="main"), "photos")
        assert found["revision"] == COMMIT and found["variant"] == "owlv2"
        assert found["weights_sha256"] == sha256(folder_of("owlv2"))
        section = label("owner/name").model_copy(update=found)
    assert isinstance(teachers.open_teacher(section), TransformersTeacher)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"model_type": "owlv3"},
            "checkpoint of 'owlv3'; there are grounding-dino, mm-grounding-dino, owlv2, owlvit, omdet",
        ),
        ({"backbone": "swin_tiny"}, r"its backbone is only named \(swin_tiny\); .* save it again with save_pretrained"),
        ({"auto_map": {"AutoModel": "x.Y"}}, r"code of its own \(config\.json\), which is never run"),
    ],
)
def test_other_checkpoints_are_refused(folder_of: Folder, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = shutil.copytree(folder_of("owlv2"), tmp_path / "other")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(TeacherError, match=rf"label\.weights: .*{words}"):
        teachers.resolve(label(folder), "photos")


def test_without_the_package_one_line_says_so(folder_of: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model.teachers.transformers.find_spec", lambda name: None)
    with pytest.raises(TeacherError, match="transformers needs the package transformers, which is not installed"):
        teachers.resolve(label(folder_of("owlv2")), "photos")


def test_no_weights_and_none_that_are_there() -> None:
    with pytest.raises(TeacherError, match=r"label\.weights: the teacher transformers needs a checkpoint"):
        teachers.resolve(LabelConfig(teacher="transformers"), "photos")
    with pytest.raises(TeacherError, match=r"label\.weights: /nowhere: no such folder"):
        teachers.resolve(label("/nowhere"), "photos")


@pytest.mark.parametrize("family", ["grounding-dino", "omdet-turbo"])
def test_an_image_with_fewer_positions_than_queries_is_rejected(
    family: str, folder_of: Folder, open_family: Open, images: list[np.ndarray]
) -> None:
    """The library raises an index error, and with it goes the whole batch."""
    teacher = opened(folder_of(family), short=32, long=32)
    (found,) = Scheduler(teacher).ground(images[:1], CAPTIONS[:1], SPANS[:1], 0.2)
    assert found.failed == TOO_SMALL and TOO_SMALL in REJECTED and len(found.scores) == 0
    pixels = teacher.pixels.batch([teacher.prepare(images[0])], teacher.device)
    prompt = teacher.caption_work(CAPTIONS[0], SPANS[0]).prompts[0]
    with pytest.raises((RuntimeError, IndexError)):
        teacher.detector.predict(teacher.detector.encode(pixels), [0], [prompt])


@every_family
def test_numbers_that_are_not_finite_reject_their_image_alone(
    family: str, folder_of: Folder, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = opened(folder_of(family))
    predict = teacher.detector.predict

    def broken(found: Any, rows: list[int], prompts: Any) -> Any:
        boxes, scores = predict(found, rows, prompts)
        scores[1, 3, 0] = float("nan")
        return type(predict(found, rows, prompts))(boxes, scores)

    monkeypatch.setattr(teacher.detector, "predict", broken)
    one, two = Scheduler(teacher).ground([images[0], images[2]], CAPTIONS[:1] * 2, SPANS[:1] * 2, 0.2)
    assert len(one.scores) > 0 and one.failed is None
    assert two.failed == NON_FINITE and len(two.scores) == 0


def test_an_image_without_pixels_is_an_error(open_family: Open) -> None:
    with pytest.raises(ValueError, match=r"0 x 5 .* has no pixels"):
        open_family("owlv2").bucket((0, 5), [])


def test_boxes_come_from_centres_and_are_clipped_to_the_image() -> None:
    boxes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.0, 1.0, 0.2, 0.2]])
    assert in_pixels(boxes, (40, 80), (40, 80)).tolist() == [[20, 10, 60, 30], [0, 36, 8, 40]]
    assert in_pixels(boxes[:1], (40, 80), (80, 80)).tolist() == [[20, 20, 60, 40]]


def test_nms_and_limits_are_of_each_phrase() -> None:
    spread = torch.arange(150)[:, None] * torch.tensor([10.0, 0, 10, 0]) + torch.tensor([0.0, 0, 8, 8])
    same = spread[:1] + torch.tensor([0.0, 0, 1, 0])  # an IoU of 8 / 9 with the first
    boxes = torch.cat([spread, same, torch.tensor([[5.0, 5, 5, 9]])])  # the last one is empty
    scores = torch.full((152, 2), 0.5)
    scores[150, 0], scores[0, 1], scores[151] = 0.9, 0.1, 0.99
    found = best(boxes, scores, 0.2)
    assert [int((found.phrase == phrase).sum()) for phrase in (0, 1)] == [100, 100]
    first = found.boxes[found.phrase == 0]
    assert first[0].tolist() == same[0].tolist() and spread[0].tolist() not in first.tolist()
    assert float(found.scores[0]) == pytest.approx(0.9)
    assert len(best(boxes, scores, 0.95).scores) == 0


@every_family
def test_reasons_are_listed(family: str, open_family: Open) -> None:
    long = "very " * 40 + "long thing"
    work = open_family(family).caption_work(long, [[(0, len(long))]])
    assert not work.prompts and list(work.dropped) == [(0, OVER_LIMIT)]


@pytest.mark.parametrize("setting", [{"deform": "plain"}, {"compile": True}])
def test_settings_of_glips_dynamic_head_are_refused(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(TeacherError, match=rf"label\.{name}: the teacher transformers takes none"):
        teachers.resolve(LabelConfig(teacher="transformers", weights="/nowhere", **setting), "scenes")
