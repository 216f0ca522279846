"""The noun phrases of a caption: what a group of objects is called, truthfully, in the words of the web."""

import re

from stages.synthetic.layout import Group, Placed
from stages.synthetic.nouns import Noun
from stages.synthetic.randomness import Stream, cumulative

BIG, SMALL = 92, 44  # the long side of every object of a group, pixels, from which (up to which) a size word is true

_BIG_WORDS = ("big", "large", "huge")
_SMALL_WORDS = ("small", "little", "tiny")
_FILLERS = (
    "cute",
    "beautiful",
    "old",
    "new",
    "lovely",
    "nice",
    "vintage",
    "shiny",
    "cool",
    "pretty",
    "funny",
    "perfect",
)
_COLOUR_VARIANTS = {
    "red": "bright red",
    "blue": "dark blue",
    "green": "bright green",
    "gray": "grey",
    "pink": "hot pink",
}
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six")
_OWNERS = ("my", "my", "her", "his", "our", "their", "your", "this", "that")
_NAMES = ("Anna's", "Tom’s", "grandma’s", "the neighbour's", "Mia's", "my brother's", "dad’s")
_ONE_SUMS = cumulative([58, 12, 8, 3, 2, 17])  # a, the, owner, one, name, nothing
_MANY_SUMS = cumulative([50, 10, 10, 6, 4, 20])  # number word, digit, some, the, owner, nothing


def name_group(group: Group, members: list[Placed], must_colour: bool, bare: bool, stream: Stream) -> str:
    """A phrase for all members (at least one); must_colour where only the colour tells them from others."""
    adjectives = _size_word(members, stream)
    if stream.chance(0.1):
        adjectives.append(stream.pick(_FILLERS))
    if group.colour and (must_colour or stream.chance(0.42)):
        adjectives.append(_colour_word(group.colour, must_colour, stream))
    return _phrase(group.noun, len(members), adjectives, bare, stream)


def name_absent(noun: Noun, bare: bool, negated: bool, stream: Stream) -> str:
    """A phrase for something that the image does not show; negated: after "but", as in "no cat"."""
    adjectives = []
    colour = stream.pick(noun.tints) if noun.tints else noun.colour
    if colour and stream.chance(0.3):
        adjectives.append(colour)
    if negated:
        return " ".join(["no", *adjectives, noun.plural if stream.chance(0.4) else noun.name])
    many = noun.kind == "count" and stream.chance(0.12)
    return _phrase(noun, 2 if many else 1, adjectives, bare, stream)


def _size_word(members: list[Placed], stream: Stream) -> list[str]:
    if all(thing.long_side >= BIG for thing in members):
        return [stream.pick(_BIG_WORDS)] if stream.chance(0.3) else []
    if all(thing.long_side <= SMALL for thing in members):
        return [stream.pick(_SMALL_WORDS)] if stream.chance(0.3) else []
    return []


def _colour_word(colour: str, exact: bool, stream: Stream) -> str:
    if not exact and stream.chance(0.08):
        return _COLOUR_VARIANTS.get(colour, colour)
    return colour


def _phrase(noun: Noun, count: int, adjectives: list[str], bare: bool, stream: Stream) -> str:
    singular, plural = noun.names()[0] if stream.chance(0.8) else stream.pick(noun.names())
    words = [*adjectives, singular if count == 1 else plural]
    determiner = "" if bare and stream.chance(0.85) else _determiner(noun, count, words[0], stream)
    return " ".join([determiner, *words] if determiner else words)


def _determiner(noun: Noun, count: int, next_word: str, stream: Stream) -> str:
    if count > 1:
        choices = (_NUMBER_WORDS[count], str(count), "some", "the", stream.pick(_OWNERS[:6]), "")
        return stream.weighted(choices, _MANY_SUMS)
    if noun.kind == "count":
        choices = (_article(next_word), "the", stream.pick(_OWNERS), "one", stream.pick(_NAMES), "")
        return stream.weighted(choices, _ONE_SUMS)
    # No singular: neither "a", "one" nor "this".
    return stream.weighted(("some", "the", stream.pick(_OWNERS[:6]), "the", stream.pick(_NAMES), ""), _ONE_SUMS)


def _article(word: str) -> str:
    """a or an, by sound."""
    if re.match(r"(uni|ufo|one)", word, re.IGNORECASE):
        return "a"
    return "an" if re.match(r"([aeiou]|hour)", word, re.IGNORECASE) else "a"
