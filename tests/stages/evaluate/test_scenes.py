"""The scenes benchmark with a model that says what it is told to, on images whose figures can be had by hand."""

from __future__ import annotations

import io as bytesio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stages.evaluate.stage
from schemas.config import Config
from schemas.rows import GoldBox
from stages import synthetic as scenes
from stages.evaluate.coco_ap import precision_at_recalls
from stages.evaluate.detections import Detections
from stages.evaluate.lvis_ap import Pool
from stages.evaluate.scenes import FLOOR, evaluate_scenes, fixed_ap, truths
from stages.evaluate.stage import EvaluateStage
from stages.geometry import to_xywh
from stages.phrases import NounPhrase
from stages.synthetic import NOUNS, Scene

RARE = next(noun.name for noun in NOUNS if noun.tier == "rare")
UNSEEN = next(noun.name for noun in NOUNS if noun.tier == "unseen")
NUMBER = {noun.name: i for i, noun in enumerate(NOUNS)}
DOG, CAT, THING = (10.0, 10.0, 50.0, 50.0), (0.0, 60.0, 20.0, 80.0), (60.0, 10.0, 90.0, 40.0)
OFF = (60.0, 10.0, 90.0, 24.0)  # IoU 14/30 with THING
NOWHERE = (70.0, 50.0, 95.0, 75.0)
TWO_DOGS = ((0.0, 0.0, 30.0, 30.0), (40.0, 0.0, 70.0, 30.0))


def scene(grey: int, caption: str, named: dict[str, str], boxes: list[tuple[int, Any]], objects: list[Any]) -> Scene:
    """named: {phrase: noun}, in order; boxes: (span, corners)."""
    buffer = bytesio.BytesIO()
    Image.new("RGB", (100, 80), (grey, grey, grey)).save(buffer, "JPEG")
    spans = [(caption.index(text), caption.index(text) + len(text)) for text in named]
    nouns = list(named.values())
    gold = [GoldBox(span, *corners, category=nouns[span]) for span, corners in boxes]
    return Scene(buffer.getvalue(), 100, 80, caption, spans, nouns, gold, objects)


FIRST = "a dog beside the thing"
SECOND = "the stranger and two dogs in the wind"
SCENES = [
    scene(40, FIRST, {"a dog": "dog", "the thing": RARE}, [(0, DOG), (1, THING)],
          [("dog", DOG), (RARE, THING), ("cat", CAT)]),  # the cat is not mentioned
    scene(120, SECOND, {"the stranger": UNSEEN, "two dogs": "dog"},
          [(0, THING), (1, TWO_DOGS[0]), (1, TWO_DOGS[1])],
          [(UNSEEN, THING), *(("dog", corners) for corners in TWO_DOGS)]),
]  # fmt: skip
PHRASES = {FIRST: ["a dog", "the thing"], SECOND: ["the stranger", "two dogs", "the wind"]}
COMMON_ONLY = {
    40: [(DOG, 0.9, NUMBER["dog"]), (CAT, 0.8, NUMBER["cat"])],
    120: [(corners, 0.7, NUMBER["dog"]) for corners in TWO_DOGS],
}
GROUNDED = {
    (40, FIRST): [(DOG, 0.92, 0), (DOG, 0.82, 0), (OFF, 0.72, 1)],
    (120, SECOND): [(TWO_DOGS[0], 0.97, 1), (THING, 0.62, 0), (NOWHERE, 0.57, 2), (TWO_DOGS[1], 0.32, 1)],
}


class Extractor:
    """Finds the phrases of PHRASES."""

    def extract(self, captions: list[str]) -> list[list[NounPhrase]]:
        return [
            [NounPhrase(caption.index(text), caption.index(text) + len(text), text, text, text) for text in own]
            for caption, own in ((caption, PHRASES[caption]) for caption in captions)
        ]


Draw = Callable[[list[Scene]], list[Any]]


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Has these scenes drawn; returns what is asked for, as it comes."""

    def prepare(images_made: list[Scene]) -> list[Any]:
        asked: list[Any] = []

        def draw_scene(split: str, seed: int, index: int) -> Scene:
            asked.append((split, seed, index))
            return images_made[index]

        monkeypatch.setattr(scenes, "draw_scene", draw_scene)
        return asked

    return prepare


@pytest.fixture
def measure(draw: Draw) -> Callable[..., dict[str, Any]]:
    def run(glip: Any, images_made: list[Scene] = SCENES) -> dict[str, Any]:
        asked = draw(images_made)
        extractor: Any = Extractor()
        result = evaluate_scenes(glip, extractor, len(images_made), 3, 0.5, lambda done: None)
        assert asked == [("eval", 3, index) for index in range(len(images_made))]
        return result

    return run


def test_figures_by_tier_are_those_made_by_hand(scripted: Any, measure: Any) -> None:
    glip = scripted({**COMMON_ONLY, **GROUNDED})
    result = measure(glip)
    assert glip.calls[0]["categories"] == [noun.name for noun in NOUNS]
    found = result["detection"]
    assert found["common"] == {"AP": pytest.approx(100), "AP50": pytest.approx(100), "nouns": 2, "objects": 4}
    assert found["rare"] == found["unseen"] == {"AP": 0, "AP50": 0, "nouns": 1, "objects": 1}
    assert found["all"] == {"AP": pytest.approx(50), "AP50": pytest.approx(50), "nouns": 4, "objects": 6}
    assert set(found["by_noun"]) == {"dog", "cat", RARE, UNSEEN}
    # Above 0.5: one dog, the same dog again (wrong), the thing too low (wrong), a dog, the stranger, the wind (wrong).
    at = {name: own["at"] for name, own in result["agreement"].items()}
    counts = {name: (own["boxes"], own["right"], own["gold"]) for name, own in at.items()}
    assert counts == {"all": (6, 3, 5), "seen": (5, 2, 4), "common": (3, 2, 3), "rare": (1, 0, 1), "unseen": (1, 1, 1)}
    assert (at["seen"]["precision"], at["seen"]["recall"], at["seen"]["mean_iou"]) == (2 / 5, 2 / 4, 1)
    low = next(row for row in result["agreement"]["all"]["curve"] if row["threshold"] == 0.3)
    assert (low["boxes"], low["right"], low["recall"]) == (7, 4, 4 / 5)  # and the second dog
    assert result["failed"] == {} and result["data"] == {"split": "eval", "seed": 3, "count": 2}
    assert result["pictures"] == 2


def test_a_tier_without_an_object_has_no_ap(scripted: Any, measure: Any) -> None:
    plain = scene(40, FIRST, {"a dog": "dog"}, [(0, DOG)], [("dog", DOG)])
    found = measure(scripted(COMMON_ONLY), [plain])["detection"]
    assert found["rare"] == found["unseen"] == {"AP": None, "AP50": None, "nouns": 0, "objects": 0}
    assert found["common"]["AP"] == pytest.approx(100)


def test_nouns_do_not_compete_for_room(scripted: Any, measure: Any) -> None:
    """A cap of boxes an image over all nouns would leave no room for the dog, and a floor of 0.15 would cut it off."""
    cats = [(NOWHERE, 0.95, NUMBER["cat"])] * 500
    glip = scripted({**COMMON_ONLY, 40: [*cats, (DOG, 0.06, NUMBER["dog"])]})
    assert measure(glip)["detection"]["by_noun"]["dog"]["AP"] == pytest.approx(1)
    assert glip.calls[0]["score_floor"] == FLOOR <= 0.05


def test_each_noun_has_a_pool_of_its_own_over_all_images() -> None:
    """Two boxes of each noun: the second dog is lost to a better wrong one in another image, the cat stays."""
    names, pool = ["dog", "cat"], Pool(most=2)
    pool.add(0, detections((DOG, 0.9, 0), (CAT, 0.1, 1)))
    pool.add(1, detections((NOWHERE, 0.8, 0), (DOG, 0.7, 0)))
    found = fixed_ap(pool, truths([[("dog", DOG), ("cat", CAT)], [("dog", DOG)]], names), names)
    assert found["cat"] == {"AP": pytest.approx(1), "AP50": pytest.approx(1), "gold": 1}
    assert found["dog"]["AP50"] == pytest.approx(51 / 101) and found["dog"]["gold"] == 2


def test_without_a_cut_fixed_ap_is_that_of_pycocotools() -> None:
    """A drawn case in which no pool is full: 30 images, 4 nouns, at most 12 boxes of each noun in an image."""
    rng = np.random.default_rng(11)

    def draw(number: int) -> list[Any]:
        corners = [(float(x), float(y), float(x + w), float(y + h)) for x, y, w, h in rng.integers(10, 40, (number, 4))]
        return list(zip(corners, rng.permutation(number) / 100 + rng.random(number) / 200, rng.integers(0, 4, number)))

    names = ["a", "b", "c", "d"]
    objects, pool, results = list[list[Any]](), Pool(), list[dict[str, Any]]()
    for image in range(30):
        true = draw(int(rng.integers(0, 6)))
        objects.append([(names[noun], corners) for corners, _, noun in true])
        near = [(tuple(np.add(box, rng.integers(-3, 4, 4)).tolist()), score, noun) for box, score, noun in true]
        rows = near + draw(6)
        pool.add(image, detections(*rows))
        results += [
            {"image_id": image, "category_id": int(noun), "bbox": list(to_xywh(*box)), "score": float(score)}
            for box, score, noun in rows
        ]
    annotations = [
        {"id": number, "image_id": image, "category_id": names.index(name), "bbox": list(to_xywh(*box))}
        for number, (image, name, box) in enumerate(
            ((image, name, box) for image, own in enumerate(objects) for name, box in own), 1
        )
    ]
    dataset = {
        "info": {},
        "images": [{"id": image, "height": 90, "width": 90} for image in range(30)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": [row | {"area": row["bbox"][2] * row["bbox"][3], "iscrowd": 0} for row in annotations],
    }
    expected = precision_at_recalls(dataset, results).mean(axis=(0, 1))  # (K,)
    found = fixed_ap(pool, truths(objects, names), names)
    assert [found[name]["AP"] for name in names] == pytest.approx(expected.tolist(), abs=1e-6)
    assert expected.min() > 0.05 and expected.max() < 0.9


def detections(*rows: tuple[tuple[float, ...], float, int]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([noun for _, _, noun in rows], np.int64),
    )


def test_images_that_the_model_fails_on_are_counted_once_each(scripted: Any, measure: Any) -> None:
    script = {**COMMON_ONLY, **GROUNDED}
    both = scripted(script, failures={40: "non_finite_scores", (40, FIRST): "non_finite_scores"})
    result = measure(both)
    assert result["failed"] == {"non_finite_scores": 1}
    assert result["detection"]["by_noun"]["cat"]["AP"] == 0 and result["agreement"]["all"]["at"]["boxes"] == 3
    apart = scripted(script, failures={40: "out_of_memory", (120, SECOND): "non_finite_scores"})
    assert measure(apart)["failed"] == {"out_of_memory": 1, "non_finite_scores": 1}


def test_from_config_to_file(monkeypatch: pytest.MonkeyPatch, io: Any, scripted: Any, draw: Draw) -> None:
    draw(SCENES)
    glip = scripted({**COMMON_ONLY, **GROUNDED}, failures={(120, SECOND): "non_finite_scores"})
    monkeypatch.setattr(stages.evaluate.stage, "open_scheduler", lambda label: glip)
    monkeypatch.setattr("stages.phrases.stage.NounPhraseExtractor", lambda backend: Extractor())
    config = Config.model_validate({"evaluate": {"models": ["teacher"], "count": 2, "seed": 3}})
    assert EvaluateStage(config).run_job(io) == {
        "teacher": {
            **{"AP": pytest.approx(50), "AP common": pytest.approx(100), "AP rare": 0, "AP unseen": 0},
            **{"precision": 1 / 3, "recall": 1 / 4, "images failed": 1},
        }
    }
    with io.open("evaluation/scenes-teacher.json") as stream:
        result = json.load(stream)
    assert result["failed"] == {"non_finite_scores": 1} and result["data"]["seed"] == 3
