"""Made-up captions of the kinds that chunkers get wrong again and again, and the mixture of all made-up captions.

Each function returns one caption whose phrases are known by construction, as those of templates.py do.
"""

# ruff: noqa: E501  (one alternative a line reads better than one cut in two)

from __future__ import annotations

import random
from collections.abc import Callable

import templates
from augment import FIRST, LAST, Line, Word, drop_determiners, outside, phrase
from templates import ADJECTIVES, COLOURS, DISHES, FLAVOURS, NOUNS, Bank, choices
from words import COMPOUND_VERBS, DIRECTIONS, DO, GROUPS, LIKE, THINGS, participle, third_person

from stages.phrases.lexicon import words

Pattern = Callable[[Bank, random.Random], Line]


def _glue(*parts: Line) -> Line:
    return [word for part in parts for word in part]


def _place(bank: Bank, rng: random.Random) -> Line:
    return _glue(
        outside(rng.choice(["in", "on", "at", "near", "by", "over", "across", "behind", "through"])), rng.choice(bank)
    )


def _plural(noun: str) -> str:
    return third_person(noun)  # nouns take the endings of verbs


def _things(rng: random.Random) -> list[str]:
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
        return _things(rng), True
    return [
        rng.choice(["a", "the", "one", "young"]),
        rng.choice(["man", "boy", "girl", "dog", "woman", "child", "bird", "lion", "kid"]),
    ], False


def _predicate(rng: random.Random, plural: bool) -> list[str]:
    """A verb that may look like a noun, of one or two words: "dance", "rock climbs", "is snow tubing"."""
    *before, verb = rng.choice(COMPOUND_VERBS).split("_") if rng.random() < 0.25 else [rng.choice(DO)]
    kind = rng.random()
    if kind < 0.15:
        return [*before, participle(verb)]
    if kind < 0.25:
        return [rng.choice(["are", "were"] if plural else ["is", "was"]), *before, participle(verb)]
    return [*before, verb if plural else third_person(verb)]


def _rest(bank: Bank, rng: random.Random) -> Line:
    """What stands behind a verb: nothing, a direction, an object, a place, another clause."""
    kind = rng.random()
    if kind < 0.2:
        return []
    if kind < 0.35:
        return outside(rng.choice(DIRECTIONS))
    if kind < 0.45:
        return _glue(
            outside(rng.choice(["as", "while", "and"])), rng.choice(bank), outside(third_person(rng.choice(DO)))
        )
    if kind < 0.55:
        return rng.choice(bank)
    return _place(bank, rng)


def swallowed(bank: Bank, rng: random.Random) -> Line:
    """A subject and right behind it a verb: "Elderly couple dance", "a girl in pink waits", "two men rock climbing"."""
    subject, plural = _subject(rng)
    line = phrase(subject)
    kind = rng.random()
    if kind < 0.15:
        line = _glue(
            line, outside(rng.choice(["in", "wearing", "dressed in"]).split()[-1]), phrase([rng.choice(COLOURS)])
        )
    elif kind < 0.2:
        line = _glue(line, outside("in"), phrase(["all", rng.choice(COLOURS)]))
    elif kind < 0.5:
        line = _glue(
            line, outside(rng.choice(["with", "in", "on", "wearing", "and"])), drop_determiners(rng.choice(bank), rng)
        )
    line = _glue(line, outside(*_predicate(rng, plural)), _rest(bank, rng))
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
        when = _glue(outside(first), phrase(rest))
    else:
        when = _glue(outside(rng.choice(["after", "before", "during", "in", "at", "on", "behind"])), rng.choice(bank))
    kind = rng.random()
    if kind < 0.3:
        subject, plural = rng.choice(_MASKED).split(), False
    elif kind < 0.65:
        subject, plural = [rng.choice(_PEOPLE)], True
    else:
        subject, plural = _things(rng), True
    line = _glue(when, phrase(subject), outside(*_predicate(rng, plural)), _rest(bank, rng))
    if rng.random() < 0.5:
        line[0] = Word(line[0].text.capitalize(), "O")
    return line


def example(bank: Bank, rng: random.Random) -> Line:
    """ "fruit , for example bananas", "at least two chairs": adverbials right before a noun."""
    thing = phrase(_things(rng))
    opening = rng.choice([
        _glue(outside("for"), phrase([rng.choice(["example", "instance"])])),
        _glue(outside("for"), phrase([rng.choice(["example", "instance"])])),
        outside(*rng.choice(["of course", "at least", "above all", "such as", "in particular", "as well as", "not to mention"]).split()),
    ])  # fmt: skip
    comma = outside(",", space=False) if rng.random() < 0.5 else []
    between = outside(",", space=False) if rng.random() < 0.2 else []
    return _glue(rng.choice(bank), comma, opening, between, thing, _rest(bank, rng) if rng.random() < 0.4 else [])


def _joined(start: list[str], first: str, sign: str, second: str, rest: list[str], space: bool) -> Line:
    """ "black/white cat" as one phrase."""
    texts = [*start, first, sign, second, *rest]
    tight = () if space else (len(start) + 1, len(start) + 2)
    return [Word(text, "I" if i else "B", i not in tight) for i, text in enumerate(texts)]


def slashed(bank: Bank, rng: random.Random) -> Line:
    """ "a black/white cat", "salmon &amp;amp; avocado salad": signs and entities between modifiers; "Kettle (red/blue)"."""
    start = rng.choice([[], [], ["a"], ["the"], ["his"], ["two"]])
    noun = [*rng.choice([[], [], [rng.choice(ADJECTIVES)]]), rng.choice(NOUNS)]
    one, two = rng.sample(COLOURS, 2)
    left, right = rng.sample(FLAVOURS, 2)
    amp = rng.choice(["&", "&amp;", "&amp;amp;", "&#38;", "&amp;amp;amp;"])
    made = [
        _joined(start, one, "/", two, noun, False),
        _joined(start, one, "/", two, noun, rng.random() < 0.4),
        _joined(start, *(rng.choice(ADJECTIVES), "/", rng.choice(ADJECTIVES)), noun, False),
        _joined(start, *(rng.choice(NOUNS), "/", rng.choice(NOUNS)), [rng.choice(["bed", "set", "bag", "cover", "box", "case", "costume"])], False),
        _joined(start, left, amp, right, [rng.choice(DISHES)], True),
        _joined([*start, rng.choice(["grilled", "fresh", "warm", "baked"])], left, amp, right, [rng.choice(DISHES)], True),
        _joined(start, one, amp, two, noun, True),
        _glue(phrase([left]), outside(amp), phrase([right])),
        _glue(phrase([*start, noun[-1]]), outside("("), outside(one, "/", two, space=False), outside(")", space=False)),
        _glue(phrase([noun[-1]]), outside(","), outside(one), outside("/", two, space=False)),
    ]  # fmt: skip
    line = rng.choice(made)
    if line[-1].text == two and len(line) > 2:
        line[-1] = Word(two, "O", False)
    kind = rng.random()
    if kind < 0.35:
        return _glue(line, _place(bank, rng))
    if kind < 0.5:
        return _glue(rng.choice(bank), outside(rng.choice(["with", "and", "near"])), line)
    return line if kind < 0.8 else _glue(line, outside(participle(rng.choice(DO))))


def marked_numbers(bank: Bank, rng: random.Random) -> Line:
    """Numbers beside a phrase and not in it: "wine glasses x 12", "a farm , circa 1920"; and inside: "jersey 23"."""
    thing, count, year = rng.choice(bank), str(rng.randint(2, 144)), str(rng.randint(1700, 1999))
    about = rng.choice(["circa", "circa", "ca.", "ca", "c.", "c"])
    made = [
        _glue(thing, outside(rng.choice(["x", "×", "X"]), count)),
        _glue(phrase([rng.choice(["set", "pack", "box"])]), outside("of"), phrase(_things(rng)), outside("x", count)),
        _glue(thing, outside(about, year)),
        _glue(thing, outside(",", about, year)),
        _glue(thing, outside("(", about), outside(year), outside(")", space=False)),
        _glue(thing, outside(rng.choice(["built", "taken", "from", "dated", "made"]), about, year), _place(bank, rng)),
        _glue(phrase([rng.choice(["photograph", "postcard", "portrait"])]), outside("of"), thing, outside(",", about, year)),
        _glue(thing, outside("with"), phrase([*rng.choice([[], [], ["the"]]), rng.choice(["number", "jersey", "room", "lane", "page", "platform"]), rng.choice([count, "six", "two"])])),
    ]  # fmt: skip
    return rng.choice(made)


def colour_list(bank: Bank, rng: random.Random) -> Line:
    """Colours as nouns, each a phrase, behind "in"; behind a product's comma they are none."""
    colours = rng.sample([*COLOURS, "cream", "mint", "turquoise", "maroon", "tan"], rng.choice([2, 3, 3, 4]))
    last = rng.choice(["and", "or", ", and", ", or", "&", ","])
    noun = rng.random() < 0.7
    line: Line = []
    for i, colour in enumerate(colours):
        if i:
            marks = last.split() if i == len(colours) - 1 else [","]
            line += [Word(mark, "O", mark != "," or rng.random() < 0.5) for mark in marks]
        line.append(Word(colour, "B" if noun else "O"))
    if not noun:
        mark = rng.choice([",", "-", ":"])
        return _glue(drop_determiners(rng.choice(bank), rng), outside(mark, space=mark == "-"), line)
    opening = rng.choice(
        ["in", "in", "available in", "dressed in", "wearing", "painted in", "comes in", "in shades of", "decorated in"]
    ).split()
    shades = opening == ["in", "shades", "of"]
    before = _glue(outside("in"), phrase(["shades"]), outside("of")) if shades else outside(*opening)
    line = _glue(rng.choice(bank) if rng.random() < 0.8 else [], before, line)
    if rng.random() < 0.35:
        line = _glue(line, outside(*_predicate(rng, rng.random() < 0.5)), _rest(bank, rng))
    return line


def comparison(bank: Bank, rng: random.Random) -> Line:
    """ "more a village than a town", "only his head above the water": adverbs before a determiner are outside."""
    adverb = rng.choice(["more", "more", "less", "only", "just", "even", "merely", "mostly"])
    start = ["a"] if adverb in ("more", "less") else ["a", "the", "his", "one"]
    one, two = (
        phrase(
            [
                rng.choice(start),
                *rng.choice([[], [rng.choice(LIKE)], ["well-kept"], ["good-natured"]]),
                rng.choice(THINGS),
            ]
        )
        for _ in range(2)
    )
    opening = rng.choice(
        [
            [],
            outside("it", "is"),
            outside("this", "was"),
            rng.choice(bank) + outside("is"),
            rng.choice(bank) + outside("with"),
        ]
    )
    line = _glue(opening, outside(adverb), one)
    if adverb in ("more", "less"):
        return _glue(line, outside("than"), two) if rng.random() < 0.6 else line
    return _glue(line, _place(bank, rng)) if rng.random() < 0.5 else line


def with_slashes(bank: Bank, rng: random.Random) -> Line:
    """ "sofa w/ throw pillows", "tea w/lemon", "bread w/o butter"."""
    sign = rng.choice(["w/", "w/", "W/", "w/o", "w/out"])
    verbal = (
        [rng.choice(["throw", "area", "drop", "swing", "pull", "rocking", "running", "cutting", "fold", "stand"])]
        if rng.random() < 0.4
        else []
    )
    thing = [*verbal, *_things(rng)[-1:]]
    tight = sign.lower() == "w/" and rng.random() < 0.5
    line = _glue(drop_determiners(rng.choice(bank), rng), outside(sign), phrase(thing, not tight))
    if rng.random() < 0.4:
        line = _glue(line, outside(rng.choice(["and", "&", "+", ","])), rng.choice(bank))
    return line


_SYLLABLES = words(
    "ka mi ro lu ben tor sha vel dra no ki bry ant wes der ley gar zo pra tan ul han mo ric jay dez cor lin"
)


def _name(rng: random.Random) -> list[str]:
    if rng.random() < 0.5:
        return [rng.choice(FIRST), rng.choice(LAST)]
    return ["".join(rng.choices(_SYLLABLES, k=rng.choice([2, 2, 3]))) for _ in range(rng.choice([1, 2, 2]))]


def named(bank: Bank, rng: random.Random) -> Line:
    """Names as modifiers, mostly in lower case, also behind "and": "socks and kobe bryant shoes"."""
    thing = [
        *rng.choice([[], [], ["the"], ["his"], ["new"]]),
        *_name(rng),
        rng.choice([*NOUNS, "jersey", "shoes", "concert", "poster", "painting", "album", "shirt"]),
    ]
    if rng.random() < 0.75:
        thing = [word.lower() for word in thing]
    opening = rng.choice([
        [], [],
        rng.choice(bank) + outside(rng.choice(["and", "and", "&", ",", "or", "with", "plus"])),
        phrase(_things(rng)) + outside("and"),
    ])  # fmt: skip
    return _glue(opening, phrase(thing), _place(bank, rng) if rng.random() < 0.5 else [])


_PARTS = words(
    "middle centre center midst top back side edge corner end front bottom foot heart rear left right base tip"
)


def relational(bank: Bank, rng: random.Random) -> Line:
    """ "in [the middle] of [a field]", "smack in [the middle] of nowhere", but "in front of", "on top of"."""
    part = phrase(
        [
            rng.choice(["the", "the", "the", "its"]),
            *rng.choice([[], [], [rng.choice(["far", "very", "exact", "lower"])]]),
            rng.choice(_PARTS),
        ]
    )
    opening = rng.choice(
        [
            [],
            rng.choice(bank),
            _glue(rng.choice(bank), outside(*_predicate(rng, False))),
            outside(rng.choice(["right", "smack", "here", "somewhere"])),
        ]
    )
    behind = (
        _glue(outside("of"), outside("nowhere") if rng.random() < 0.1 else rng.choice(bank))
        if rng.random() < 0.85
        else []
    )
    if rng.random() < 0.15:
        return _glue(
            opening,
            outside(*rng.choice(["in front of", "on top of", "in back of", "next to", "side by side with"]).split()),
            rng.choice(bank),
        )
    return _glue(opening, outside(rng.choice(["in", "in", "at", "on", "near", "from", "to"])), part, behind)


PATTERNS: list[tuple[Pattern, int]] = [
    (swallowed, 26), (fronted, 12), (example, 4), (slashed, 10), (marked_numbers, 8), (colour_list, 9), (comparison, 5), (with_slashes, 4), (named, 8), (relational, 6),
]  # fmt: skip


def made_up(bank: Bank, rng: random.Random) -> Line:
    """One caption of a random kind."""
    kinds, weights = zip(*templates.KINDS, *PATTERNS, strict=True)
    drawn = [templates.thing(rng) if rng.random() < 0.4 else rng.choice(bank) for _ in range(8)]
    return rng.choices(kinds, weights)[0](drawn, rng)
