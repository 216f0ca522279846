"""Phrases name their things exactly and truthfully."""

from __future__ import annotations

import re
from collections import Counter

from stages.synthetic import Scene
from stages.synthetic.atlas import COLOURS
from stages.synthetic.nouns import BY_NAME
from tests.stages.synthetic.read import NUMBERS, boxes_of, phrase


def test_spans_are_exact_and_name_their_noun(gold: list[Scene], web: list[Scene]) -> None:
    scenes = gold + web
    assert len(scenes) > 3000
    for scene in scenes:
        assert len(scene.spans) == len(scene.span_nouns)
        position = 0
        for (start, end), noun in zip(scene.spans, scene.span_nouns, strict=True):
            assert position <= start < end <= len(scene.caption)
            position = end
            text = scene.caption[start:end]
            assert text == text.strip(" .,;:!“”&|/-…#")
            endings = [word.lower() for pair in BY_NAME[noun].names() for word in pair]
            assert any(re.search(rf"(^|\s){re.escape(word)}$", text.lower()) for word in endings), text
            neighbours = scene.caption[max(0, start - 1) : start] + scene.caption[end : end + 1]
            assert not any(letter.isalnum() for letter in neighbours)
        assert len(scene.caption.split()) <= 40


def test_boxes_follow_their_phrase(gold: list[Scene], web: list[Scene]) -> None:
    colours = re.compile(r"\b(" + "|".join(COLOURS) + r")\b", re.IGNORECASE)
    counted = coloured = absent = 0
    for scene in gold + web:
        present = Counter(name for name, _ in scene.objects)
        for span, noun in enumerate(scene.span_nouns):
            own = boxes_of(scene, span)
            assert {box.category for box in scene.boxes if box.span == span} <= {noun}
            first = phrase(scene, span).split()[0].lower()
            if not own:
                absent += 1
                assert noun not in present
                continue
            if first in NUMBERS:
                counted += 1
                assert len(own) == NUMBERS[first], scene.caption
            if len(own) < present[noun]:  # others of the kind are there: the colour must tell them apart
                coloured += 1
                assert colours.search(phrase(scene, span)), scene.caption
    assert counted > 100
    assert coloured > 50
    assert absent > 200
