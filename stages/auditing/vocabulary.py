"""Category names of public benchmarks, to see how much of them the labels cover."""

from __future__ import annotations

from pathlib import Path

COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
)


def plural(noun: str) -> str:
    """The regular English plural."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


Category = tuple[str, tuple[str, ...]]  # its name, and every text that names it: synonyms and regular plurals


def vocabularies() -> dict[str, list[Category]]:
    """COCO's 80 categories and the 1,203 of LVIS v1, apart by how often LVIS shows them in training."""
    lvis = (Path(__file__).parent / "lvis.txt").read_text("utf-8")
    found = {"COCO": [_category(name) for name in COCO.split(", ")]}
    for section in lvis.split("[")[1:]:
        title, _, names = section.partition("]")
        found[f"LVIS {title}"] = [_category(entry) for entry in " ".join(names.split()).split(", ")]
    return found


def _category(entry: str) -> Category:
    names = entry.split("/")
    return names[0], tuple(text for name in names for text in (name, plural(name)))
