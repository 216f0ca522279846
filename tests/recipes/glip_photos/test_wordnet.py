"""Phrases by WordNet, on a few of its nouns in the form of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipes.glip_photos.wordnet import WordNet, WordNetNames
from tests.wordnet import wordnet_files

CATEGORIES = [
    "person",
    "dog",
    "hot dog",
    "mouse",
    "dining table",
    "chair",
    "potted plant",
    "stop sign",
    "traffic light",
]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> WordNetNames:
    return WordNetNames(WordNet(wordnet_files(tmp_path_factory.mktemp("dict"))), CATEGORIES)


@pytest.mark.parametrize(
    ("phrase", "category"),
    [
        ("two young Men", "person"),
        ("the people", "person"),
        ("a brown poodle", "dog"),
        ("Dogs", "dog"),
        ("a hot dog", "hot dog"),  # two words before one
        ("a mouse", None),  # the animal, which is no category; the category is the other mouse
        ("the computer mouse", "mouse"),
        ("a table", "dining table"),  # its first sense is no thing
        ("an armchair", "chair"),
        ("an idea", None),
        ("his mouth", None),  # before it is somebody who eats
        ("red", None),  # before it is somebody
        ("a stoplight", "traffic light"),  # a signal, which is no thing there, but has no other sense
        ("a zyzzyva", None),
        ("", None),
    ],
)
def test_the_nearest_category_that_a_noun_is_a_kind_of(names: WordNetNames, phrase: str, category: str | None) -> None:
    assert names(phrase) == category


def test_a_category_that_wordnet_does_not_have_is_named_by_nothing(names: WordNetNames) -> None:
    assert sorted(names.categories.values()) == sorted({*CATEGORIES} - {"stop sign", "potted plant"})


def test_kinds_go_up_level_by_level_and_each_is_named_once(names: WordNetNames) -> None:
    wordnet = names.wordnet
    (poodle,) = wordnet.senses["poodle"]
    above = list(wordnet.above(poodle))
    assert above[0] == poodle and len(above) == len(set(above)) == 6
    assert above.index(wordnet.senses["dog"][0]) < above.index(wordnet.senses["animal"][0])


def test_another_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WordNet(tmp_path)
