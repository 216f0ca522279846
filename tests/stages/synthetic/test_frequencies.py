"""How often nouns come: exactly in gold, with a long tail in web."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pytest

from stages.synthetic import NOUNS, Scene
from stages.synthetic.frequencies import gold_count, rare_noun_at
from tests.stages.synthetic.read import TIER


def test_rare_nouns_come_one_to_five_times_in_gold(gold: list[Scene]) -> None:
    rare = [noun for noun in NOUNS if noun.tier == "rare"]
    assert Counter(gold_count(noun) for noun in rare) == dict.fromkeys(range(1, 6), 8)
    shown = Counter(name for scene in gold for name, _ in scene.objects if TIER[name] == "rare")
    boxed = Counter(box.category for scene in gold for box in scene.boxes if TIER[box.category] == "rare")
    mentioned = Counter(noun for scene in gold for noun in scene.span_nouns if TIER[noun] == "rare")
    assert shown == boxed == mentioned == {noun.name: gold_count(noun) for noun in rare}
    assert not any(TIER[name] == "rare" for scene in gold[2000:] for name, _ in scene.objects)


@pytest.mark.parametrize("seed", [0, 1, 987_654_321])
def test_rare_places_are_exact_for_every_seed(seed: int) -> None:
    places = {index: noun for index in range(2500) if (noun := rare_noun_at("gold", seed, index))}
    assert max(places) < 2000
    assert Counter(noun.name for noun in places.values()) == {
        noun.name: gold_count(noun) for noun in NOUNS if noun.tier == "rare"
    }
    assert places != {index: rare_noun_at("gold", seed + 1, index) for index in places}
    assert rare_noun_at("web", seed, min(places)) is None


def test_unseen_nouns_are_nowhere_in_gold(gold: list[Scene]) -> None:
    unseen = [noun for noun in NOUNS if noun.tier == "unseen"]
    words = {name for noun in unseen for pair in noun.names() for name in pair}
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b", re.IGNORECASE)
    assert len(words) > 50 and len(gold) > 2000
    for scene in gold:
        assert not any(TIER[name] == "unseen" for name, _ in scene.objects)
        assert not any(TIER[noun] == "unseen" for noun in scene.span_nouns)
        assert not pattern.search(scene.caption), scene.caption


def test_web_has_a_long_tail(web: list[Scene]) -> None:
    counts = Counter(name for scene in web for name, _ in scene.objects)
    total = sum(counts.values())
    tail = sum(number for name, number in counts.items() if TIER[name] != "common") / total
    assert 0.12 <= tail <= 0.2
    by_rank = np.array([counts[noun.name] for noun in NOUNS], dtype=float)
    assert np.count_nonzero(by_rank) >= 175
    chunks = [part.mean() for part in np.array_split(by_rank, 4)]
    assert all(more > less for more, less in itertools.pairwise(chunks))
    assert chunks[0] > 4 * chunks[-1]
