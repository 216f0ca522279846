"""Captions from boxes: every span is the phrase of its boxes, and names their category."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recipes.glip_photos.nouns import category_of, names_of
from recipes.glip_photos_coco.captions import CAPTIONS, called, phrase_of, plural, written

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}, {"id": 15, "name": "bench"}]
NAMES = names_of([row["name"] for row in CATEGORIES])


def box(number: int, image: int, category: int, size: float, crowd: int = 0) -> dict[str, Any]:
    own = {"id": number, "image_id": image, "category_id": category, "iscrowd": crowd}
    return {**own, "bbox": [number, 0.0, size, size], "area": size * size}


BOXES = {
    "images": [{"id": 7, "file_name": "a.jpg", "width": 99, "height": 99}, {"id": 8, "file_name": "b.jpg"}],
    "annotations": [box(1, 7, 1, 30), box(2, 7, 18, 9), box(3, 7, 18, 8), box(4, 7, 15, 50, crowd=1)],
    "categories": CATEGORIES,
}


def test_every_box_has_the_phrase_of_its_category() -> None:
    found = written(BOXES, seed=0)
    assert len(found["images"]) == CAPTIONS and {row["file_name"] for row in found["images"]} == {"a.jpg"}
    captions = {row["id"]: row["caption"] for row in found["images"]}
    assert len(found["annotations"]) == 3 * CAPTIONS  # the crowd is not named
    for row in found["annotations"]:
        ((start, end),) = row["tokens_positive"]
        phrase = captions[row["image_id"]][start:end]
        category = "person" if row["bbox"][2] == 30 else "dog"
        assert category_of(phrase, NAMES) == category and phrase.startswith("two ") == (category == "dog")
    assert len({caption.split(" .")[0] for caption in captions.values()}) > 1


def test_the_seed_decides() -> None:
    assert written(BOXES, 0) == written(BOXES, 0) != written(BOXES, 1)


@pytest.mark.parametrize(
    ("one", "more"),
    [
        ("dog", "dogs"), ("knife", "knives"), ("giraffe", "giraffes"), ("puppy", "puppies"), ("boy", "boys"),
        ("bench", "benches"), ("bus", "buses"), ("wine glass", "wine glasses"), ("policeman", "policemen"),
        ("old woman", "old women"), ("sheep", "sheep"),
    ],
)  # fmt: skip
def test_plurals(one: str, more: str) -> None:
    assert plural(one) == more


def test_numbers_and_articles() -> None:
    rng = np.random.default_rng(0)
    assert [phrase_of("dog", count, rng) for count in (1, 2, 5)] == ["a dog", "two dogs", "five dogs"]
    assert phrase_of("apple", 1, rng) == "an apple" and phrase_of("people", 3, rng) == "people"
    assert phrase_of("dog", 9, rng).endswith(" dogs")
    assert called("toothbrush", rng) == "toothbrush"
    names = {called("dog", rng) for _ in range(100)}
    assert {"dog", "puppy"} <= names
