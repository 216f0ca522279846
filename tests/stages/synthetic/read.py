"""What the tests read in a scene."""

from __future__ import annotations

from stages.synthetic import NOUNS, Scene

TIER = {noun.name: noun.tier for noun in NOUNS}


NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6} | {str(n): n for n in range(2, 7)}


def phrase(scene: Scene, span: int) -> str:
    start, end = scene.spans[span]
    return scene.caption[start:end]


def boxes_of(scene: Scene, span: int) -> list[tuple[float, float, float, float]]:
    return [(box.x1, box.y1, box.x2, box.y2) for box in scene.boxes if box.span == span]
