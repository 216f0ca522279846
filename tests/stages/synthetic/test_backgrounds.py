"""Backgrounds fill the image, differ, and depend on their stream alone."""

from __future__ import annotations

import numpy as np

from stages.synthetic.backgrounds import SIDE, bank, draw_background
from stages.synthetic.randomness import Stream


def test_the_bank_holds_whole_patterns_of_every_kind() -> None:
    patterns = bank()
    assert {kind for kind, _ in patterns} == {"gradient", "noise", "stripes", "checks", "shapes", "horizon"}
    for _, image in patterns:
        assert image.mode == "L" and image.size == (SIDE, SIDE)
        assert np.ptp(np.asarray(image, dtype=int)) > 100  # a pattern is not one colour
    assert len({image.tobytes() for _, image in patterns}) == len(patterns)


def test_a_background_is_as_large_as_asked_for_and_the_same_for_the_same_stream() -> None:
    for width, height in ((224, 224), (320, 224), (224, 320)):
        images = [draw_background(Stream(3, index), width, height) for index in range(40)]
        assert {image.size for image in images} == {(width, height)} and {image.mode for image in images} == {"RGB"}
        again = [draw_background(Stream(3, index), width, height) for index in range(40)]
        assert [image.tobytes() for image in images] == [image.tobytes() for image in again]
        plain = sum(len(image.getcolors(1 << 20) or ()) == 1 for image in images)
        assert 1 <= plain <= 20  # one in seven
