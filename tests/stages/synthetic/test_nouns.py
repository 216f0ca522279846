"""The table of nouns."""

from __future__ import annotations

from collections import Counter

from stages.synthetic import NOUNS
from stages.synthetic.atlas import COLOURS
from tests.stages.synthetic.read import TIER


def test_the_table_is_sound() -> None:
    assert len(NOUNS) >= 170
    assert Counter(TIER.values()) == {"common": 114, "rare": 40, "unseen": 26}
    assert [noun.rank for noun in NOUNS] == list(range(1, len(NOUNS) + 1))
    names = [name for noun in NOUNS for pair in noun.names() for name in set(pair)]
    assert len(names) == len(set(names))  # no word names two nouns
    assert len({noun.codepoint for noun in NOUNS}) == len(NOUNS)
    assert all(set(noun.tints) <= set(COLOURS) for noun in NOUNS)
    assert {noun.group for noun in NOUNS if noun.tier == "unseen"} >= {"animal", "food", "vehicle", "tool", "clothes"}
