"""Relations and sizes that captions tell are true."""

from __future__ import annotations

from collections import Counter

import numpy as np

from stages.synthetic import Scene
from tests.stages.synthetic.read import boxes_of, phrase


def test_relations_and_sizes_are_true(gold: list[Scene], web: list[Scene]) -> None:
    centre = {"x": lambda box: box[0] + box[2], "y": lambda box: box[1] + box[3]}
    rules = {"left of": ("x", 1), "right of": ("x", -1), "above": ("y", 1), "below": ("y", -1), "beneath": ("y", -1)}
    checked: Counter[str] = Counter()
    for scene in gold + web:
        for span in range(len(scene.spans) - 1):
            one, two = boxes_of(scene, span), boxes_of(scene, span + 1)
            between = scene.caption[scene.spans[span][1] : scene.spans[span + 1][0]].lower()
            for words, (axis, sign) in rules.items():
                if words in between and one and two:
                    checked[words] += 1
                    at = centre[axis]
                    assert all(sign * (at(b) - at(a)) > 0 for a in one for b in two), scene.caption
            if ("behind" in between or "in front of" in between) and one and two:
                checked["overlap"] += 1
                a, b = one[0], two[0]
                assert min(a[2], b[2]) > max(a[0], b[0])
                assert min(a[3], b[3]) > max(a[1], b[1])
        for span in range(len(scene.spans)):
            words = phrase(scene, span).lower().split()
            for x1, y1, x2, y2 in boxes_of(scene, span):
                diagonal = float(np.hypot(x2 - x1, y2 - y1))
                if {"big", "large", "huge"} & set(words):
                    checked["big"] += 1
                    assert diagonal >= 45  # 92 pixels, perhaps cut at the edge, perhaps thin
                if {"small", "little", "tiny"} & set(words):
                    checked["small"] += 1
                    assert diagonal <= 44 * 1.5 + 4
    assert all(checked[words] >= 5 for words in [*rules, "overlap", "big", "small"]), checked
