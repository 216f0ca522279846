"""Nouns called by random words: everything else of the caption stays, and the boxes keep their phrases."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from stages.train.samples import TrainingSample
from stages.train.sets import SceneSet
from stages.train.wording import rename, singular, substitute_words

SCENES = SceneSet("gold", 0, 300)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*|.", text, re.DOTALL)


def phrases(sample: TrainingSample) -> list[str]:
    return [sample.caption[start:end] for ((start, end),) in sample.spans]


def test_every_noun_has_another_name_and_nothing_else_changes() -> None:
    for index in range(len(SCENES)):
        sample = SCENES.sample(index)
        renamed = rename(sample, 1.0, np.random.default_rng(index))
        assert renamed.boxes is sample.boxes and renamed.phrase is sample.phrase
        nouns = {re.findall(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*", phrase)[-1].lower() for phrase in phrases(sample)}
        names: dict[str, set[str]] = {}
        for before, after in zip(words(sample.caption), words(renamed.caption), strict=True):
            if before.lower() in nouns:  # in a hashtag, too
                names.setdefault(before.lower(), set()).add(after)
            else:
                assert before == after
        assert set(names) == nouns and all(
            len(name) == 1 and name <= set(substitute_words()) for name in names.values()
        )
        for before, after in zip(phrases(sample), phrases(renamed), strict=True):
            assert [names.get(word.lower(), {word}) for word in words(before)] == [{word} for word in words(after)]


def test_about_as_many_as_were_asked_for() -> None:
    changed = total = 0
    for index in range(len(SCENES)):
        sample = SCENES.sample(index)
        renamed = rename(sample, 0.3, np.random.default_rng(index))
        changed += sum(before != after for before, after in zip(phrases(sample), phrases(renamed), strict=True))
        total += len(sample.spans)
    assert 0.25 < changed / total < 0.35
    assert rename(sample, 0.0, np.random.default_rng(0)).caption == sample.caption


def test_words_are_drawn_widely_and_again_the_same() -> None:
    sample = SCENES.sample(5)
    drawn = {rename(sample, 1.0, np.random.default_rng(seed)).caption for seed in range(100)}
    assert len(drawn) > 95 and len(substitute_words()) > 15_000
    assert rename(sample, 1.0, np.random.default_rng(1)).caption in drawn


def test_a_phrase_that_ends_within_the_word_is_left_alone() -> None:
    sample = SCENES.sample(0)
    cut = replace(sample, caption="a dog, a dog", spans=(((0, 5),), ((7, 11),)))  # "a do"
    assert rename(cut, 1.0, np.random.default_rng(0)) is cut


def test_a_phrase_without_a_word_has_no_noun() -> None:
    sample = replace(SCENES.sample(0), caption="350 & a cat", spans=(((0, 3),), ((6, 11),)))
    renamed = rename(sample, 1.0, np.random.default_rng(0))
    assert renamed.caption.startswith("350 & a ") and not renamed.caption.endswith("cat")


def test_singulars() -> None:
    known = {"dogs": "dog", "boxes": "box", "horses": "horse", "planes": "plane", "leaves": "leaf", "knives": "knife"}
    known |= {"gloves": "glove", "buses": "bus", "cherries": "cherry", "movies": "movie", "women": "woman"}
    unknown = {"wugs": "wug", "blickes": "blicke", "glorxes": "glorx", "zibbies": "zibby", "wugves": "wugve"}
    unknown |= {"wugmen": "wugman"}
    for plural, one in {**known, **unknown}.items():
        assert singular(plural) == one and singular(one) == one, plural
    for word in ("glass", "bus", "gas", "lens", "tennis", "scissors", "cactus", "men's", "", "s", "children"):
        assert singular(word) == word
