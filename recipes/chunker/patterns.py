"""Made-up captions of the kinds that chunkers get wrong again and again, and the mixture of all made-up captions.

Each function returns one caption whose phrases are known by construction, as those of templates.py do.
"""

# ruff: noqa: E501  (one alternative a line reads better than one cut in two)

from __future__ import annotations

import random
from collections.abc import Callable

from recipes.chunker import templates
from recipes.chunker.augment import FIRST, LAST, Line, Word, drop_determiners, outside, phrase
from recipes.chunker.subjects import at_a_place, behind_verb, fronted, predicate, swallowed, things
from recipes.chunker.templates import ADJECTIVES, COLOURS, DISHES, FLAVOURS, NOUNS, Bank, joined
from recipes.chunker.words import DO, LIKE, THINGS, participle
from stages.phrases.lexicon import words

Pattern = Callable[[Bank, random.Random], Line]


def example(bank: Bank, rng: random.Random) -> Line:
    """ "fruit , for example bananas", "at least two chairs": adverbials right before a noun."""
    thing = phrase(things(rng))
    opening = rng.choice([
        joined(outside("for"), phrase([rng.choice(["example", "instance"])])),
        joined(outside("for"), phrase([rng.choice(["example", "instance"])])),
        outside(*rng.choice(["of course", "at least", "above all", "such as", "in particular", "as well as", "not to mention"]).split()),
    ])  # fmt: skip
    comma = outside(",", space=False) if rng.random() < 0.5 else []
    between = outside(",", space=False) if rng.random() < 0.2 else []
    return joined(
        rng.choice(bank), comma, opening, between, thing, behind_verb(bank, rng) if rng.random() < 0.4 else []
    )


def _one_phrase(start: list[str], first: str, sign: str, second: str, rest: list[str], space: bool) -> Line:
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
        _one_phrase(start, one, "/", two, noun, False),
        _one_phrase(start, one, "/", two, noun, rng.random() < 0.4),
        _one_phrase(start, *(rng.choice(ADJECTIVES), "/", rng.choice(ADJECTIVES)), noun, False),
        _one_phrase(start, *(rng.choice(NOUNS), "/", rng.choice(NOUNS)), [rng.choice(["bed", "set", "bag", "cover", "box", "case", "costume"])], False),
        _one_phrase(start, left, amp, right, [rng.choice(DISHES)], True),
        _one_phrase([*start, rng.choice(["grilled", "fresh", "warm", "baked"])], left, amp, right, [rng.choice(DISHES)], True),
        _one_phrase(start, one, amp, two, noun, True),
        joined(phrase([left]), outside(amp), phrase([right])),
        joined(phrase([*start, noun[-1]]), outside("("), outside(one, "/", two, space=False), outside(")", space=False)),
        joined(phrase([noun[-1]]), outside(","), outside(one), outside("/", two, space=False)),
    ]  # fmt: skip
    line = rng.choice(made)
    if line[-1].text == two and len(line) > 2:
        line[-1] = Word(two, "O", False)
    kind = rng.random()
    if kind < 0.35:
        return joined(line, at_a_place(bank, rng))
    if kind < 0.5:
        return joined(rng.choice(bank), outside(rng.choice(["with", "and", "near"])), line)
    return line if kind < 0.8 else joined(line, outside(participle(rng.choice(DO))))


def marked_numbers(bank: Bank, rng: random.Random) -> Line:
    """Numbers beside a phrase and not in it: "wine glasses x 12", "a farm , circa 1920"; and inside: "jersey 23"."""
    thing, count, year = rng.choice(bank), str(rng.randint(2, 144)), str(rng.randint(1700, 1999))
    about = rng.choice(["circa", "circa", "ca.", "ca", "c.", "c"])
    made = [
        joined(thing, outside(rng.choice(["x", "×", "X"]), count)),
        joined(phrase([rng.choice(["set", "pack", "box"])]), outside("of"), phrase(things(rng)), outside("x", count)),
        joined(thing, outside(about, year)),
        joined(thing, outside(",", about, year)),
        joined(thing, outside("(", about), outside(year), outside(")", space=False)),
        joined(thing, outside(rng.choice(["built", "taken", "from", "dated", "made"]), about, year), at_a_place(bank, rng)),
        joined(phrase([rng.choice(["photograph", "postcard", "portrait"])]), outside("of"), thing, outside(",", about, year)),
        joined(thing, outside("with"), phrase([*rng.choice([[], [], ["the"]]), rng.choice(["number", "jersey", "room", "lane", "page", "platform"]), rng.choice([count, "six", "two"])])),
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
        return joined(drop_determiners(rng.choice(bank), rng), outside(mark, space=mark == "-"), line)
    opening = rng.choice(
        ["in", "in", "available in", "dressed in", "wearing", "painted in", "comes in", "in shades of", "decorated in"]
    ).split()
    shades = opening == ["in", "shades", "of"]
    before = joined(outside("in"), phrase(["shades"]), outside("of")) if shades else outside(*opening)
    line = joined(rng.choice(bank) if rng.random() < 0.8 else [], before, line)
    if rng.random() < 0.35:
        line = joined(line, outside(*predicate(rng, rng.random() < 0.5)), behind_verb(bank, rng))
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
    line = joined(opening, outside(adverb), one)
    if adverb in ("more", "less"):
        return joined(line, outside("than"), two) if rng.random() < 0.6 else line
    return joined(line, at_a_place(bank, rng)) if rng.random() < 0.5 else line


def with_slashes(bank: Bank, rng: random.Random) -> Line:
    """ "sofa w/ throw pillows", "tea w/lemon", "bread w/o butter"."""
    sign = rng.choice(["w/", "w/", "W/", "w/o", "w/out"])
    verbal = (
        [rng.choice(["throw", "area", "drop", "swing", "pull", "rocking", "running", "cutting", "fold", "stand"])]
        if rng.random() < 0.4
        else []
    )
    thing = [*verbal, *things(rng)[-1:]]
    tight = sign.lower() == "w/" and rng.random() < 0.5
    line = joined(drop_determiners(rng.choice(bank), rng), outside(sign), phrase(thing, not tight))
    if rng.random() < 0.4:
        line = joined(line, outside(rng.choice(["and", "&", "+", ","])), rng.choice(bank))
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
        phrase(things(rng)) + outside("and"),
    ])  # fmt: skip
    return joined(opening, phrase(thing), at_a_place(bank, rng) if rng.random() < 0.5 else [])


_ORDINALS = words("first second third last only final best worst biggest fastest next second-largest")
_SHARED = words(
    """view views garden area room kitchen shop festival market store museum centre party table boots dress bouquet
    table set design pattern theme wallpaper print scheme tour team show club bar department sign curtains sofa"""
)
_PLACES = words(
    "pool beach sea mountain city garden lake harbor food wine art music arts crafts home office book bus train"
)


def coordinated(bank: Bank, rng: random.Random) -> Line:
    """Modifiers joined by "and" before one noun are one phrase: "[pool and beach view]", "[the third and final race]"."""
    start = rng.choice([[], [], ["a"], ["the"], ["the"], ["his"]])
    sign = rng.choice(["and", "and", "and", "&", "or"])
    colours, places = rng.sample(COLOURS, 2), rng.sample(_PLACES, 2)
    noun = [*rng.choice([[], [], [], [rng.choice(LIKE)]]), rng.choice([*_SHARED, rng.choice(NOUNS)])]
    made = [
        phrase([rng.choice(["the", "his", "their"]), rng.choice(_ORDINALS), sign, rng.choice(["final", "last", "only", "largest"]), *noun]),
        phrase([*start, places[0], sign, places[1], rng.choice(_SHARED)]),
        phrase([*start, colours[0], sign, colours[1], *rng.choice([[], [rng.choice(LIKE)], [rng.choice(ADJECTIVES)]]), *noun]),
        phrase([*start, rng.choice(ADJECTIVES), sign, rng.choice(ADJECTIVES), *noun]),
        phrase([*start, rng.choice(["quality", "comfort", "quality", "fashion"]), sign, "long", "lasting", *noun]),
    ]  # fmt: skip
    line = rng.choice(made)
    if rng.random() < 0.3:
        line = joined(line, outside(rng.choice(["and", ",", "with"])), phrase(things(rng)))
    kind = rng.random()
    if kind < 0.4:
        return joined(line, at_a_place(bank, rng))
    if kind < 0.8:
        return joined(rng.choice(bank), outside(rng.choice(["with", "for", "near", "of", "in"])), line)
    return line


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
            joined(rng.choice(bank), outside(*predicate(rng, False))),
            outside(rng.choice(["right", "smack", "here", "somewhere"])),
        ]
    )
    behind = (
        joined(outside("of"), outside("nowhere") if rng.random() < 0.1 else rng.choice(bank))
        if rng.random() < 0.85
        else []
    )
    if rng.random() < 0.15:
        return joined(
            opening,
            outside(*rng.choice(["in front of", "on top of", "in back of", "next to", "side by side with"]).split()),
            rng.choice(bank),
        )
    return joined(opening, outside(rng.choice(["in", "in", "at", "on", "near", "from", "to"])), part, behind)


PATTERNS: list[tuple[Pattern, int]] = [
    (swallowed, 18), (fronted, 9), (coordinated, 8), (example, 4), (slashed, 10), (marked_numbers, 8), (colour_list, 9), (comparison, 5), (with_slashes, 4), (named, 8), (relational, 6),
]  # fmt: skip


def made_up(bank: Bank, rng: random.Random) -> Line:
    """One caption of a random kind."""
    kinds, weights = zip(*templates.KINDS, *PATTERNS, strict=True)
    drawn = [templates.thing(rng) if rng.random() < 0.4 else rng.choice(bank) for _ in range(8)]
    return rng.choices(kinds, weights)[0](drawn, rng)
