"""How often each noun is drawn: the long tail, and the few places of the rare nouns in the gold split."""

from functools import lru_cache

from stages.synthetic.nouns import NOUNS, Noun
from stages.synthetic.randomness import Stream, cumulative

# weight = (rank + SHIFT) ** -EXPONENT: rare and unseen nouns together are about one object in six of `web`.
SHIFT, EXPONENT = 3, 0.8
GOLD_WINDOW = 2000
MOST_IN_GOLD = 5
_RARE_STREAM = 1_000_003

_COMMON = tuple(noun for noun in NOUNS if noun.tier == "common")
_RARE = tuple(noun for noun in NOUNS if noun.tier == "rare")


def _sums(nouns: tuple[Noun, ...]) -> list[float]:
    return cumulative([(noun.rank + SHIFT) ** -EXPONENT for noun in nouns])


_CHOICES = {
    "gold": (_COMMON, _sums(_COMMON)),
    "web": (NOUNS, _sums(NOUNS)),
    "eval": (NOUNS, _sums(NOUNS)),
}


def draw_noun(split: str, stream: Stream) -> Noun:
    """A noun by the long tail of this split; in gold, common nouns only."""
    nouns, sums = _CHOICES[split]
    return stream.weighted(nouns, sums)


def gold_count(noun: Noun) -> int:
    """How many gold images show this rare noun, once each: 1 to 5, by its place among the rare nouns."""
    return 1 + _RARE.index(noun) % MOST_IN_GOLD


def rare_noun_at(split: str, seed: int, index: int) -> Noun | None:
    """The rare noun that this scene must show, if any: gold scenes below GOLD_WINDOW only."""
    if split != "gold" or index >= GOLD_WINDOW:
        return None
    return _rare_places(seed).get(index)


@lru_cache(maxsize=8)
def _rare_places(seed: int) -> dict[int, Noun]:
    """Index of a gold scene -> the rare noun in it; all places differ."""
    places = Stream(seed, _RARE_STREAM).shuffled(range(GOLD_WINDOW))
    wanted = [noun for noun in _RARE for _ in range(gold_count(noun))]
    return dict(zip(places[: len(wanted)], wanted, strict=True))
