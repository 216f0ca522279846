"""Made-up captions about where a subject begins and ends: right before a verb, or right behind an adverbial."""

from __future__ import annotations

import random

from recipes.chunker.augment import Line, Word, drop_determiners, outside, phrase
from recipes.chunker.templates import ADJECTIVES, COLOURS, NOUNS, Bank, choices, joined
from recipes.chunker.words import COMPOUND_VERBS, DIRECTIONS, DO, GROUPS, LIKE, THINGS, participle, third_person
from stages.phrases.lexicon import words


def at_a_place(bank: Bank, rng: random.Random) -> Line:
    return joined(
        outside(rng.choice(["in", "on", "at", "near", "by", "over", "across", "behind", "through"])), rng.choice(bank)
    )


def _plural(noun: str) -> str:
    return third_person(noun)  # nouns take the endings of verbs


def things(rng: random.Random) -> list[str]:
    """A bare plural of one or two words: "wool mittens"."""
    before = rng.choice([[], [], [rng.choice(LIKE)], [rng.choice(ADJECTIVES)], [rng.choice(NOUNS)]])
    return [*before, _plural(rng.choice([*NOUNS, rng.choice(THINGS)]))]


_PEOPLE = words(
    """people children kids men women boys girls fans players soldiers tourists students dancers fishermen workers
    farmers visitors protesters dogs birds cats horses lions deer sheep geese fish ducks wolves friends teenagers
    casualties survivors fireworks flames waves clouds leaves flowers trees cars boats trains planes crowds guests"""
)
_MASKED = [
    "person",
    "actor",
    "politician",
    "football player",
    "pop artist",
    "athlete",
    "film director",
    "tourist attraction",
]


def _subject(rng: random.Random) -> tuple[list[str], bool]:
    """The words of a subject, and whether its verb is in the plural."""
    kind = rng.random()
    if kind < 0.35:
        group = rng.choice(GROUPS)
        start = rng.choice(
            [["the"], ["a"], [], [], [rng.choice(["young", "elderly", "happy", "large", "local"])], ["the", "whole"]]
        )
        return [*start, group], rng.random() < 0.7
    if kind < 0.7:
        start = rng.choice([["the"], ["two"], ["some"], [], [], [rng.choice(ADJECTIVES)]])
        return [*start, rng.choice(_PEOPLE)], True
    if kind < 0.85:
        return things(rng), True
    return [
        rng.choice(["a", "the", "one", "young"]),
        rng.choice(["man", "boy", "girl", "dog", "woman", "child", "bird", "lion", "kid"]),
    ], False


def predicate(rng: random.Random, plural: bool) -> list[str]:
    """A verb that may look like a noun, of one or two words: "dance", "rock climbs", "is snow tubing"."""
    *before, verb = rng.choice(COMPOUND_VERBS).split("_") if rng.random() < 0.25 else [rng.choice(DO)]
    kind = rng.random()
    if kind < 0.15:
        return [*before, participle(verb)]
    if kind < 0.25:
        return [rng.choice(["are", "were"] if plural else ["is", "was"]), *before, participle(verb)]
    return [*before, verb if plural else third_person(verb)]


def behind_verb(bank: Bank, rng: random.Random) -> Line:
    """What stands behind a verb: nothing, a direction, an object, a place, another clause."""
    kind = rng.random()
    if kind < 0.2:
        return []
    if kind < 0.35:
        return outside(rng.choice(DIRECTIONS))
    if kind < 0.45:
        return joined(
            outside(rng.choice(["as", "while", "and"])), rng.choice(bank), outside(third_person(rng.choice(DO)))
        )
    if kind < 0.55:
        return rng.choice(bank)
    return at_a_place(bank, rng)


def swallowed(bank: Bank, rng: random.Random) -> Line:
    """A subject and right behind it a verb: "Elderly couple dance", "a girl in pink waits", "two men rock climbing"."""
    subject, plural = _subject(rng)
    line = phrase(subject)
    kind = rng.random()
    if kind < 0.15:
        line = joined(
            line, outside(rng.choice(["in", "wearing", "dressed in"]).split()[-1]), phrase([rng.choice(COLOURS)])
        )
    elif kind < 0.2:
        line = joined(line, outside("in"), phrase(["all", rng.choice(COLOURS)]))
    elif kind < 0.5:
        line = joined(
            line, outside(rng.choice(["with", "in", "on", "wearing", "and"])), drop_determiners(rng.choice(bank), rng)
        )
    line = joined(line, outside(*predicate(rng, plural)), behind_verb(bank, rng))
    return line + (outside(".") if rng.random() < 0.6 else [])


_WHEN = choices(
    """after a battle|from a young age|in the morning|at night|during the war|before the game|in winter|at dawn|
    on weekends|after the storm|in the evening|during lunch|on monday|by the end|at the start|after school|in spring|
    in the past|on a sunny day|for the first time|during a break|at low tide|in this photo|on the left|at the top|
    in the distance|in the background|in the foreground|at sunset|after dark|on the beach|in the city|at the market|
    despite the rain|without a word|since the accident|under the bridge|behind the house|in the middle"""
)


def fronted(bank: Bank, rng: random.Random) -> Line:
    """An adverbial and, without a comma, the subject: "After a battle casualties are carried away"."""
    if rng.random() < 0.6:
        first, *rest = rng.choice(_WHEN).split()
        when = joined(outside(first), phrase(rest))
    else:
        when = joined(outside(rng.choice(["after", "before", "during", "in", "at", "on", "behind"])), rng.choice(bank))
    kind = rng.random()
    if kind < 0.3:
        subject, plural = rng.choice(_MASKED).split(), False
    elif kind < 0.65:
        subject, plural = [rng.choice(_PEOPLE)], True
    else:
        subject, plural = things(rng), True
    line = joined(when, phrase(subject), outside(*predicate(rng, plural)), behind_verb(bank, rng))
    if rng.random() < 0.5:
        line[0] = Word(line[0].text.capitalize(), "O")
    return line
