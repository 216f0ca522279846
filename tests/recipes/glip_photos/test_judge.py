"""What is right and what is wrong, on boxes whose answer can be seen; figures; which category a phrase names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.outputs import Grounding
from recipes.glip_photos.gold import Photo, Phrase, extracted
from recipes.glip_photos.judge import by_head, curve, figures, judge, judge_phrase
from recipes.glip_photos.nouns import category_of, names_of
from stages.geometry import box_array

LEFT, RIGHT = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 30.0, 10.0)
NONE = box_array([])


def phrase(text: str, *boxes: tuple[float, float, float, float]) -> Phrase:
    return Phrase(((0, len(text)),), text, box_array(list(boxes)), NONE)


def test_each_gold_box_is_taken_once_unless_boxes_are_shared() -> None:
    found = np.asarray([LEFT, (0, 0, 10, 9), RIGHT, (50, 50, 60, 60)], dtype=np.float32)
    scores = np.asarray([0.9, 0.8, 0.7, 0.6], dtype=np.float32)
    one = judge_phrase("a", phrase("two dogs", LEFT, RIGHT), found, scores, shared=False)
    assert [right for _, right, _ in one.labels] == [True, False, True, False]
    assert one.grounded and one.gold == 2 and one.head == "dog"
    one = judge_phrase("a", phrase("two dogs", LEFT, RIGHT), found, scores, shared=True)
    assert [right for _, right, _ in one.labels] == [True, True, True, False]


def test_any_box_grounds_and_only_the_best_box_counts() -> None:
    found = np.asarray([RIGHT, LEFT], dtype=np.float32)
    scores = np.asarray([0.9, 0.8], dtype=np.float32)
    assert judge_phrase("a", phrase("x", LEFT, RIGHT), found, scores, False).grounded
    assert not judge_phrase("a", phrase("x", LEFT), found, scores, False).grounded
    assert not judge_phrase("a", phrase("x", LEFT), found[:0], scores[:0], False).grounded


def test_a_box_on_a_crowd_is_not_counted_and_one_beside_it_is_wrong() -> None:
    crowd = Phrase(((0, 1),), "people", NONE, box_array([(0, 0, 100, 100)]))
    found = np.asarray([(10, 10, 20, 20), (95, 95, 115, 115)], dtype=np.float32)
    one = judge_phrase("a", crowd, found, np.asarray([0.9, 0.8], dtype=np.float32), shared=True)
    assert [right for _, right, _ in one.labels] == [False]


def photo(key: str, *phrases: Phrase) -> Photo:
    return Photo(key, Path(key), "caption", list(phrases))


def result(*boxes: tuple[tuple[float, float, float, float], float, int]) -> Grounding:
    return Grounding(
        torch.tensor([box for box, _, _ in boxes]).view(-1, 4),
        torch.tensor([score for _, score, _ in boxes]),
        torch.tensor([number for _, _, number in boxes]).long(),
    )


def test_figures_add_up_over_photos() -> None:
    photos = [photo("a", phrase("a dog", LEFT), phrase("a cat", RIGHT)), photo("b", phrase("dogs", LEFT, RIGHT))]
    results = [result((LEFT, 0.9, 0), (LEFT, 0.8, 1)), result((LEFT, 0.6, 0), (RIGHT, 0.4, 0))]
    judged = judge(photos, results)
    found = figures(judged)
    assert (found["phrases"], found["grounded"], found["labels"], found["right"], found["wanted"]) == (3, 2, 3, 2, 4)
    assert found["precision"] == pytest.approx(2 / 3, abs=1e-4) and found["recall"] == 0.5
    assert found["recall_at_1"] == pytest.approx(2 / 3, abs=1e-4)
    low, high = found["interval_95"]["recall_at_1"]  # a photo with 1 of 2, one with 1 of 1
    assert (low, high) == (0.5, 1.0)
    rows = {row["score"]: row for row in curve(judged)}
    assert rows[0.3]["recall"] == 0.75 and rows[0.85] == {"score": 0.85, "precision": 1.0, "recall": 0.25}
    assert [row["noun"] for row in by_head(judged, 1)] == ["dog", "cat"]
    assert [row["noun"] for row in by_head(judged, 2)] == ["dog"]


def test_recall_of_shared_boxes_is_of_phrases_that_should_be_found() -> None:
    small = Phrase(((0, 1),), "a dog", box_array([LEFT]), NONE, "dog", wanted=False)
    judged = judge([photo("a", phrase("a cat", RIGHT), small)], [result((RIGHT, 0.9, 0), (LEFT, 0.9, 1))], shared=True)
    found = figures(judged, shared=True)
    assert (found["wanted"], found["found"], found["labels"], found["right"]) == (1, 1, 2, 2)
    assert "recall_at_1" not in found


class Extractor:
    """Finds every word that begins with a capital."""

    def extract(self, captions: list[str]) -> list[list[object]]:
        from stages.phrases import NounPhrase

        def words(caption: str) -> list[object]:
            at, found = 0, []
            for word in caption.split(" "):
                if word[0].isupper():
                    found.append(NounPhrase(at, at + len(word), word, "", ""))
                at += len(word) + 1
            return found

        return [words(caption) for caption in captions]


def test_extracted_phrases_stand_for_the_gold_ones_that_they_overlap() -> None:
    gold = [
        Phrase(((0, 9),), "A Big dog", box_array([LEFT]), NONE),
        Phrase(((15, 19),), "ball", box_array([RIGHT]), NONE),
    ]
    own = Photo("a", Path("a"), "A Big dog and a ball by Sea", gold)
    (found,) = extracted([own], Extractor())  # type: ignore[arg-type]
    assert [one.spans for one in found.phrases] == [((2, 5),), ()]  # "Big" overlaps by more than "A"; nothing for ball


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("two young men", "person"),
        ("A little puppy", "dog"),
        ("the leather sofas", "couch"),
        ("a hot dog", "hot dog"),
        ("a teddy bear", "teddy bear"),
        ("a traffic light", "traffic light"),
        ("the knives", "knife"),
        ("a wine glass", "wine glass"),
        ("a glass", None),
        ("a red shirt", None),
        ("the people", "person"),
        ("three children", "person"),
    ],
)
def test_the_category_that_a_phrase_names(text: str, category: str | None) -> None:
    names = names_of(["person", "dog", "couch", "hot dog", "teddy bear", "traffic light", "knife", "wine glass"])
    assert category_of(text, names) == category
