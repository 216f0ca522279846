"""The threshold that asks for no gold, and what the hidden boxes say of the labels above it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.photos_claim.labels import agreement, best_scores, threshold_of
from recipes.glip_photos.gold import Photo, Phrase
from stages.geometry import box_array

LEFT, RIGHT = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)


def box(phrase: int, corners: tuple[float, ...], score: float) -> dict[str, Any]:
    return {"phrase": phrase, "score": score, **dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))}


def phrase(start: int, end: int, text: str) -> dict[str, Any]:
    return {"start": start, "end": end, "text": text, "head": text, "norm": text}


ROWS = [
    {
        "file": "a.jpg",
        "phrases": [phrase(0, 3, "dog"), phrase(4, 7, "sky"), phrase(8, 11, "cat")],
        "boxes": [box(2, LEFT, 0.5), box(0, LEFT, 0.8), box(0, RIGHT, 0.6), box(1, LEFT, 0.9)],
    },
    {"file": "b.jpg", "phrases": [phrase(0, 3, "cow")], "boxes": []},
]


def test_the_threshold_leaves_a_share_of_the_phrases() -> None:
    assert best_scores(ROWS[0]) == [0.8, 0.9, 0.5] and best_scores(ROWS[1]) == [0.0]
    assert [threshold_of(ROWS, share) for share in (0.25, 0.5, 0.75, 1.0)] == [0.8, 0.5, 0.0, 0.0]
    kept = sum(score > threshold_of(ROWS, 0.5) for row in ROWS for score in best_scores(row))
    assert kept == 2 and threshold_of([], 0.5) == 0.0


def test_labels_are_judged_by_the_gold_phrase_that_theirs_names() -> None:
    """The sky has no gold box and is not judged; the cat is found in the wrong place; the second dog is missed."""
    none = box_array([])
    gold = Photo(
        "a.jpg",
        Path("a.jpg"),
        "dog sky cat",
        [
            Phrase(((0, 3),), "dog", box_array([LEFT, (500.0, 0.0, 600.0, 100.0)]), none),
            Phrase(((8, 11),), "cat", box_array([RIGHT]), none),
        ],
    )
    found = agreement(ROWS, {"a.jpg": gold}, 0.45)
    assert (found["labels"], found["right"], found["wanted"], found["grounded"]) == (3, 1, 3, 1)
    assert found["precision"] == pytest.approx(1 / 3, abs=1e-4) and found["recall"] == pytest.approx(1 / 3, abs=1e-4)
    assert agreement(ROWS, {}, 0.45) == {}
