"""Correlation of detail, against numpy's own, for whole images; crops, mirrors, blank images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from stages.curate.likeness import likeness, view_of
from stages.curate.signature import PLAIN, SIDE, THUMB, VIEWS, signatures
from stages.images import decode_grey
from tests.stages.curate.photographs import cropped, jpeg, mirrored, photograph


def thumb(image: Image.Image) -> np.ndarray:
    _, thumbs = signatures(decode_grey(jpeg(image), 10**7, SIDE)[None])
    return np.asarray(thumbs[0])


def like(one: np.ndarray, view: int, other: np.ndarray, other_view: int) -> float:
    return float(likeness(one[None], np.array([view]), other[None], np.array([other_view]))[0])


def by_hand(one: np.ndarray, other: np.ndarray) -> float:
    """Of two whole thumbnails: 16 x 16 means, each less that of its 3 x 3 neighbours, correlated."""
    found = []
    for image in (one, other):
        cells = image.repeat(16, 0).repeat(16, 1).reshape(16, THUMB, 16, THUMB).mean((1, 3))
        found.append(
            [cells[y, x] - cells[y - 1 : y + 2, x - 1 : x + 2].mean() for y in range(1, 15) for x in range(1, 15)]
        )
    return float(np.corrcoef(found)[0, 1])


def test_whole_images() -> None:
    thumbs = [thumb(photograph(seed)) for seed in range(5)]
    for one in thumbs:
        for other in thumbs:
            assert abs(like(one, 0, other, 0) - by_hand(one, other)) < 1e-5
    assert like(thumbs[0], 0, thumbs[0], 0) == 1.0
    assert max(like(thumbs[0], 0, other, 0) for other in thumbs[1:]) < 0.5


def test_a_crop_is_compared_with_its_view() -> None:
    whole, cut = thumb(photograph(3, (400, 300))), thumb(cropped(left=0.05)(photograph(3, (400, 300))))
    (number,) = (i for i, view in enumerate(VIEWS) if (view.x1, view.y1, view.x2, view.y2) == (0.05, 0, 1, 1))
    assert like(whole, number, cut, 0) > 0.95 > like(whole, 0, cut, 0)


def test_a_mirror_image() -> None:
    one, other = thumb(photograph(7)), thumb(mirrored(photograph(7)))
    assert like(one, len(VIEWS), other, 0) > 0.95 and like(one, 0, other, len(VIEWS)) > 0.95
    assert like(one, 0, other, 0) < 0.5
    assert view_of(len(VIEWS) + 1) == (PLAIN[1], True) and view_of(1) == (PLAIN[1], False)


def test_blank_images() -> None:
    white, black = np.full((THUMB, THUMB), 255, np.uint8), np.zeros((THUMB, THUMB), np.uint8)
    assert like(white, 0, white, 0) == 1.0
    assert abs(like(white, 0, black, 0)) < 0.5 and abs(like(white, 0, thumb(photograph(1)), 0)) < 0.5
