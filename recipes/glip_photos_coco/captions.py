"""Captions written from boxes of categories, so that a model without captioned photos learns phrases, not lists alone.

A photo with a person, two dogs and a bench becomes "a woman and two puppies by a bench .": every category in it is
named once, by its name or by a synonym that is as common, in the number that its boxes have. A synonym says more than
the boxes know (a woman, or a man?). Among 80 categories, that is what a phrase of a caption has to stand for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from recipes.glip_photos.nouns import SYNONYMS

CAPTIONS = 5  # of each photo
MOST = 6  # categories in a caption, those of the largest boxes first
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
MANY = ("several", "many", "a group of")
JOINTS = (" and ", " with ", " by ", " near ", " , ")
IRREGULAR = {"man": "men", "woman": "women", "child": "children", "person": "people", "mouse": "mice"} | {
    **{
        "knife": "knives",
        "sheep": "sheep",
        "skis": "skis",
        "scissors": "scissors",
        "luggage": "luggage",
        "calf": "calves",
    },
    **{"foot": "feet", "goose": "geese", "bus": "buses", "aircraft": "aircraft", "cattle": "cattle"},
}
PLURALS = ("people", "skis", "scissors", "luggage", "cattle")  # that take no number or article of one
EMPTY = {"crowd_member"}

Annotations = dict[str, Any]


def written(boxes: Annotations, seed: int) -> Annotations:
    """COCO's form -> MDETR's: CAPTIONS rows of each photo that has a box, with the spans of each box's phrase."""
    names = {row["id"]: row["name"] for row in boxes["categories"]}
    found: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in boxes["annotations"]:
        if not row["iscrowd"]:  # a crowd is no box of one thing
            found[row["image_id"]][names[row["category_id"]]].append(row["bbox"])
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for photo in boxes["images"]:
        for _ in range(CAPTIONS if found.get(photo["id"]) else 0):
            caption, spans = write(found[photo["id"]], rng)
            image = {**photo, "id": len(images) + 1, "caption": caption}
            images.append(image)
            for name, span in spans.items():
                for bbox in found[photo["id"]][name]:
                    own = {"id": len(annotations) + 1, "image_id": image["id"], "bbox": bbox, "category_id": 1}
                    annotations.append(
                        {**own, "tokens_positive": [list(span)], "iscrowd": 0, "area": bbox[2] * bbox[3]}
                    )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}


def write(things: dict[str, list[Any]], rng: np.random.Generator) -> tuple[str, dict[str, tuple[int, int]]]:
    """A caption of the largest things, in any order, and the span of each category's phrase."""
    largest = sorted(things, key=lambda name: (-max(box[2] * box[3] for box in things[name]), name))[:MOST]
    caption, spans = "", {}
    for number in rng.permutation(len(largest)).tolist():
        name = largest[number]
        caption += pick(JOINTS, rng) if caption else ""
        phrase = phrase_of(called(name, rng), len(things[name]), rng)
        spans[name] = (len(caption), len(caption) + len(phrase))
        caption += phrase
    return f"{caption} .", spans


def called(category: str, rng: np.random.Generator) -> str:
    """The category's name half of the time, else one of its synonyms."""
    others = [name for name in SYNONYMS.get(category, "").split() if name not in EMPTY]
    return category if not others or rng.random() < 0.5 else pick(others, rng).replace("_", " ")


def phrase_of(name: str, count: int, rng: np.random.Generator) -> str:
    """a dog, an apple, two dogs, several dogs."""
    if name in PLURALS:
        return name
    if count == 1:
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return f"{NUMBERS.get(count) or pick(MANY, rng)} {plural(name)}"


def plural(name: str) -> str:
    """Of the last word; "baseball bat" -> "baseball bats"."""
    *before, last = name.split()
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith("man"):
        last = f"{last[:-3]}men"
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = f"{last[:-1]}ies"
    else:
        last += "s"
    return " ".join([*before, last])


def pick(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
