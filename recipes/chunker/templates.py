"""Made-up captions whose right phrases are known by construction: verbs that look like nouns, lists, headlines, listings.

Phrases are drawn from labelled captions; words around them from the lists below.
"""

# ruff: noqa: E501  (one alternative a line reads better than one cut in two)

from __future__ import annotations

import random
from collections.abc import Callable

from recipes.chunker.augment import (
    EMOJI,
    Line,
    Word,
    code,
    drop_determiners,
    name,
    outside,
    phrase,
    place,
    title,
    upper,
)
from recipes.chunker.words import DO, LIKE, THINGS, participle, third_person
from stages.phrases.lexicon import words


def choices(text: str) -> list[str]:
    """The entries between bars."""
    return [" ".join(entry.split()) for entry in text.split("|")]


# third person singular | plural or base | participle
VERBS = choices(
    """waves wave waving|jumps jump jumping|lands land landing|watches watch watching|plays play playing|
    walks walk walking|rides ride riding|runs run running|drinks drink drinking|looks look looking|poses pose posing|
    parks park parking|fishes fish fishing|skates skate skating|climbs climb climbing|swings swing swinging|
    dances dance dancing|smiles smile smiling|talks talk talking|turns turn turning|leaps leap leaping|
    rests rest resting|works work working|points point pointing|lights light lighting|stars star starring|
    heads head heading|faces face facing|covers cover covering|signs sign signing|marks mark marking|
    spots spot spotting|snacks snack snacking|crosses cross crossing|surfs surf surfing|dives dive diving|
    flips flip flipping|kicks kick kicking|hits hit hitting|catches catch catching|steps step stepping|
    sails sail sailing|floats float floating|docks dock docking|drives drive driving|rocks rock rocking|
    rolls roll rolling|camps camp camping|hikes hike hiking|races race racing|rounds round rounding|
    splashes splash splashing|trains train training|shows show showing|holds hold holding|stands stand standing|
    hosts host hosting|boasts boast boasting|features feature featuring|blocks block blocking|guards guard guarding|
    passes pass passing|chases chase chasing|shoots shoot shooting|throws throw throwing|slides slide sliding|
    tricks trick tricking|wins win winning|saves save saving|finds find finding|bites bite biting|
    rescues rescue rescuing|visits visit visiting|fires fire firing|carries carry carrying|leads lead leading|
    cheers cheer cheering|performs perform performing|arrives arrive arriving|attends attend attending|
    fights fight fighting|drops drop dropping"""
)
PREPOSITIONS = words(
    """in on at with near behind over under beside by through across past next_to in_front_of on_top_of during from
    towards into"""
)
PARTICIPLES = words(
    """wearing holding riding covered_in made_of filled_with surrounded_by sitting_on standing_in looking_at"""
)
COLOURS = words("""red blue black white green grey pink brown navy silver gold beige yellow purple orange""")
MATERIALS = words("""oak leather cotton wool steel velvet linen brass marble silk plastic bamboo walnut denim""")
STATES = words("""Handmade Vintage New Used Waterproof Foldable Unisex handmade USED NEW pre-owned boxed sealed""")
UNITS = words("""ml cl L g kg cm mm m ft inch oz lb W V GB mAh litres °C km miles""")
LABELS = ["SKU", "REF", "Ref", "Item", "Model", "Code", "Lot", "Style", "Art", "Product"]
PROMO = choices(
    """free shipping|free delivery|final sale|last chance|price drop|clearance|limited edition|best price|sale|
    special offer|fast delivery"""
)
FOREIGN = """der große Hund schläft auf dem Sofa|ein Kind spielt mit einem Ball im Garten|le chat noir dort sur la table|une femme marche dans la rue
el perro corre por la playa con su dueño|una casa blanca en el campo|il gatto dorme sul divano|un homem com chapéu na praia|een man fietst door de stad
en flicka med en röd mössa|et hus ved havet|pies biegnie po plaży z piłką|kedi ve köpek bahçede|seorang anak bermain di pantai dengan bola
koira juoksee rannalla|um gato preto em cima da mesa""".replace("\n", "|").split("|")  # fmt: skip

Bank = list[Line]


def _verb(rng: random.Random, form: int) -> str:
    if rng.random() < 0.5:
        verb = rng.choice(DO)
        return (third_person(verb), verb, participle(verb))[form]
    return rng.choice(VERBS).split()[form]


def joined(*parts: Line) -> Line:
    return [word for part in parts for word in part]


def _prep(rng: random.Random) -> Line:
    return outside(*rng.choice(PREPOSITIONS).split("_"))


def _plural(line: Line) -> bool:
    return line[-1].text.lower().endswith("s")


def clause(bank: Bank, rng: random.Random) -> Line:
    """A subject, a verb in one of its forms, and one or two phrases."""
    subject = rng.choice(bank)
    form = 1 if _plural(subject) else 0
    verb = outside(_verb(rng, form))
    if rng.random() < 0.25:
        verb = outside(rng.choice(["is", "are", "was"]), _verb(rng, 2))
    elif rng.random() < 0.25:
        verb = outside(_verb(rng, 2))
    middle = _prep(rng) if rng.random() < 0.6 else []
    line = joined(subject, verb, middle, rng.choice(bank))
    if rng.random() < 0.5:
        line = joined(line, _prep(rng), rng.choice(bank))
    if rng.random() < 0.3:
        line = joined(
            line, outside(rng.choice(["as", "while", "and"])), rng.choice(bank), outside(_verb(rng, rng.choice([0, 1])))
        )
    return line + (outside(".") if rng.random() < 0.6 else [])


INTRANSITIVE = words(
    """laughs jumps smiles waves talks rests races runs sleeps dances waits plays looks cries sings barks swims walks
    poses sits stands watches listens reads eats drinks works shops skates surfs dives bows cheers claps kneels leans
    lands drives floats fishes hikes camps points stares screams spins stretches yawns kisses hugs fights"""
)
ADVERBS = words("""together outside inside outdoors nearby alone away around quietly happily upside_down in_the_air""")


def attached(bank: Bank, rng: random.Random) -> Line:
    """A subject with something attached, then its verb: "a girl in a swing laughs", "dog with ball runs outside"."""
    subject, part, third = (rng.choice(bank) for _ in range(3))
    if rng.random() < 0.3:
        subject, part = drop_determiners(subject, rng), drop_determiners(part, rng)
    verb = rng.choice(INTRANSITIVE) if rng.random() < 0.7 else third_person(rng.choice(DO))
    if _plural(subject) and rng.random() < 0.9:
        verb = {"watches": "watch", "kisses": "kiss", "dives": "dive", "cries": "cry"}.get(verb, verb.removesuffix("s"))
    if rng.random() < 0.2:
        verb = _verb(rng, 2)
    line = subject if rng.random() < 0.25 else joined(subject, _prep(rng), part)
    line = joined(line, outside(verb))
    kind = rng.random()
    if kind < 0.3:
        line = joined(line, _prep(rng), third)
    elif kind < 0.5:
        line = joined(line, outside(*rng.choice([w for w in ADVERBS if w != "in_the_air"]).split("_")))
    elif kind < 0.65:
        line = joined(
            line, outside(rng.choice(["as", "while", "and"])), rng.choice(bank), outside(rng.choice(INTRANSITIVE))
        )
    elif kind < 0.75:
        line = joined(line, outside("in"), phrase(["the", "air"]))
    return line + (outside(".") if rng.random() < 0.7 else [])


OPENINGS = choices(
    """just|Just|omg|OMG|Omg|lol|wow|Wow|so happy with|love|Loving|look at|Look !|finally|Finally :|today :|check out|
    check this out :|RT @mia_92 :|there is|this is|here is|we saw|i found|i love|how to draw|for sale :|only|even|and|
    not|isolated :|best of :|new :|love this :|part 2 -|yay !|ok|hey|yum !|another|meet|spotted :|now :|then"""
)
BEHIND = choices(
    """again|today|here|outdoors|! ! !|( 1 )|:)|...|…|, right|, left|- free|- new|, nothing else|tbh|lol|2019|( 2018 )|
    everywhere|please|yet|anyone ?|indeed|, seen from above|!|, and more|, isolated"""
)
NAMED_BEHIND = choices(
    """stock photo|Stock Image|vector|Blog|Gallery|ideas|side view|close-up|thumbnail|royalty free|white background|
    stock illustration|clip art|Photo|news|video|wallpaper|my blog|the morning"""
)


def post(bank: Bank, rng: random.Random) -> Line:
    """Phrases between marks, with the words that open and close posts, titles and alt texts."""
    opening = rng.choice(OPENINGS).split()
    items = [rng.choice(bank) for _ in range(rng.choice([1, 1, 2, 2, 3, 4]))]
    if opening == ["for", "sale", ":"]:
        line = [*outside("for"), *phrase(["sale"]), *outside(":", space=False)]
    elif opening[-1] == "-":
        line = [*phrase(opening[:2]), *outside("-")]
    elif opening == ["another"]:
        first = drop_determiners(items[0], rng)
        line, items[0] = (
            [],
            first
            if first[0].text.lower() in ("a", "an", "the")
            else [Word("another", "B"), *[Word(w.text, "I", w.space) for w in first]],
        )
    elif rng.random() < 0.75:
        line = [Word(w, "O", w not in ":!") for w in opening]
    else:
        line = []
    for i, item in enumerate(items):
        if i:
            mark = rng.choice(
                [
                    "|",
                    "/",
                    "-",
                    "+",
                    "&",
                    "–",
                    "//",
                    "·",
                    "•",
                    ",",
                    ";",
                    "and",
                    "with",
                    "plus",
                    "&amp;",
                    "but",
                    "without",
                    "or",
                    "vs",
                ]
            )
            line = joined(line, outside(mark, space=mark not in ",;"))
        line = joined(line, item)
    end = rng.random()
    if end < 0.3:
        line = joined(
            line,
            [Word(w, "O", w not in ",!)" or (i == 0 and w == "(")) for i, w in enumerate(rng.choice(BEHIND).split())],
        )
    elif end < 0.55:
        mark = rng.choice(["-", "|", "-", ",", "–"])
        line = joined(line, outside(mark, space=mark != ","), phrase(rng.choice(NAMED_BEHIND).split()))
    elif end < 0.65:
        line = joined(line, outside("#" + str(rng.randint(10, 9999999))))
    elif end < 0.7:
        line = joined(line, outside("©", str(rng.randint(2000, 2024))))
    return line


def fragment(bank: Bank, rng: random.Random) -> Line:
    line = joined(rng.choice(bank), _prep(rng), rng.choice(bank))
    if rng.random() < 0.5:
        line = joined(line, outside(*rng.choice(PARTICIPLES).split("_")), rng.choice(bank))
    return line


def listing(bank: Bank, rng: random.Random) -> Line:
    """Phrases side by side: commas, "and", plus signs, bars."""
    mark = rng.choice([",", ",", ",", "+", "|", ";", "/", "&", "-", "..."])
    last = rng.choice(["and", "&", mark, mark])
    items = [rng.choice(bank) for _ in range(rng.choice([2, 3, 3, 4]))]
    line = items[0]
    for i, item in enumerate(items[1:], 2):
        sign = last if i == len(items) else mark
        line = joined(line, outside(sign, space=sign not in ",;..." or rng.random() < 0.5), item)
    if rng.random() < 0.3:
        line = joined(
            phrase([rng.choice(["image", "Photo", "includes", "today"])]) if rng.random() < 0.3 else outside("with"),
            line,
        )
    return line


def headline(bank: Bank, rng: random.Random) -> Line:
    subject = drop_determiners(rng.choice(bank), rng)
    line = joined(subject, outside(_verb(rng, 1 if _plural(subject) else 0)), drop_determiners(rng.choice(bank), rng))
    line = joined(
        line, _prep(rng), phrase(place(rng)) if rng.random() < 0.4 else drop_determiners(rng.choice(bank), rng)
    )
    return rng.choice([upper, upper, title])(line, rng)


def amount(rng: random.Random) -> Line:
    kind = rng.random()
    number = rng.choice([str(rng.randint(1, 999)), f"{rng.randint(0, 20)}.{rng.randint(1, 9)}"])
    if kind < 0.35:
        return phrase([number + rng.choice(UNITS)])
    if kind < 0.65:
        return phrase([number, rng.choice(UNITS)])
    sign = rng.choice("$£€")
    return phrase([sign, number]) if rng.random() < 0.5 else phrase([sign + number])


def _bracketed(line: Line) -> Line:
    return [Word("(", "O"), *line, Word(")", "O", False)]


def product(bank: Bank, rng: random.Random) -> Line:
    """A web shop's line: name, colours in brackets, code, amounts, promises."""
    line = drop_determiners(rng.choice(bank), rng)
    if rng.random() < 0.6:
        line = title(line, rng)
    colours = rng.sample(COLOURS, 2)
    tails: list[Callable[[], Line]] = [
        lambda: _bracketed([Word(w, "O", False) for w in (colours[0].title(), "/", colours[1].title())]),
        lambda: outside(",", space=False) + outside(rng.choice(colours + STATES)),
        lambda: outside(",", space=False) + amount(rng),
        lambda: outside(",", space=False) + amount(rng),
        lambda: outside("-") + amount(rng),
        lambda: outside(code(rng)),
        lambda: outside(".", space=False) + phrase([rng.choice(LABELS)]) + outside(":", space=False) + outside(code(rng)),
        lambda: _bracketed(phrase([rng.choice(["Size", "size", "Set", "Pack"]), str(rng.randint(2, 46))], False)),
        lambda: outside(",", space=False) + phrase([rng.choice(["Size", "size"]), str(rng.randint(2, 46))]),
        lambda: outside(",", space=False) + phrase([rng.choice(["solid", "soft", "dark", "pure", "100%"]), rng.choice(MATERIALS)]),
        lambda: outside(",", space=False) + phrase([rng.choice(MATERIALS)]),
        lambda: outside(",", space=False) + phrase([str(rng.randint(2, 12)), *[w.text for w in drop_determiners(rng.choice(bank), rng)][-1:]]),
        lambda: outside(rng.choice([",", "-", "!", "|"])) + phrase(rng.choice(PROMO).split()),
        lambda: outside("!", "!", rng.choice(STATES), space=False),
    ]  # fmt: skip
    for tail in rng.sample(tails, rng.choice([1, 2, 2, 3])):
        line = joined(line, tail())
    if rng.random() < 0.2:
        line = joined(phrase(rng.choice(PROMO).split()), outside("!", space=False), line)
    return upper(line, rng) if rng.random() < 0.25 else line


def social(bank: Bank, rng: random.Random) -> Line:
    """People, places and pets, with the marks of a post."""
    who = rng.choice([phrase(name(rng)), outside(rng.choice(["me", "us", "Me"])), rng.choice(bank)])
    line = joined(
        who,
        outside(rng.choice(["&", "and", "with", "w/", "&amp;"])),
        rng.choice([phrase(name(rng)), rng.choice(bank), rng.choice(bank)]),
    )
    line = joined(
        line, outside(rng.choice(["at", "@", "in", "near"])), rng.choice([phrase(place(rng)), rng.choice(bank)])
    )
    if rng.random() < 0.5:
        line = joined(line, outside(rng.choice([*EMOJI, "!!!", "...", "<3"]), space=rng.random() < 0.7))
    return line


NOUNS = words(
    """dog cat bird shirt dress car bus bike flag hat coat ball kite boat horse house sign shoe bag cup jacket umbrella
    balloon butterfly flower helmet tie rug sofa wall door lamp truck puppy jersey bowl scarf tent swimsuit"""
)
ADJECTIVES = words(
    """small large old young tall wide low narrow steep bright dark warm wet dry clean soft cute happy quiet long short"""
)
ENDS = words(
    """covered soaked shaped based made painted carved lined filled colored inspired themed free style like fashioned
    sized trimmed topped backed loving friendly"""
)
BEFORE_ENDS = words(
    """snow moss ivy mud dust ice chocolate sugar cloud tree star heart egg moon boat bird leaf flower box bell"""
)
FLAVOURS = words(
    """lemon ginger lime orange mint honey apple cinnamon almond pear walnut coconut mango chilli garlic tomato basil
    spinach leek potato cheese onion beetroot pumpkin mushroom rhubarb fig plum cherry vanilla caramel pistachio sesame"""
)
DISHES = words(
    """cake tea soup pie tart salad jam curry sauce dip crumble bread stew muffins smoothie risotto chicken"""
)
SAID = choices(
    """stop|keep out|open all day|for sale|wet paint|no parking|freshly baked|go slow|happy birthday|welcome|
    exit|love|thank you|do not enter"""
)


def thing(rng: random.Random) -> Line:
    """A made-up phrase around one of our own nouns, with or without determiner and adjectives."""
    noun = rng.choice(THINGS)
    kind = rng.random()
    words = [*rng.sample(LIKE, rng.choice([0, 1, 1, 2])), *([rng.choice(THINGS)] if kind < 0.2 else []), noun]
    if rng.random() < 0.25 and not noun.endswith("s"):
        words = [*rng.choice([["two"], ["several"], ["3"], [], ["some"]]), *words[:-1], noun + "s"]
    elif rng.random() < 0.6:
        words = [rng.choice(["a", "the", "a", "his", "my", "this"]), *words]
    return phrase(words)


def modifiers(bank: Bank, rng: random.Random) -> Line:
    """Conjoined modifiers, colours as nouns, spaced hyphens, quotes inside, chains of possessors, numbers behind nouns."""
    noun, tail = rng.choice(NOUNS), joined(_prep(rng), rng.choice(bank))
    first, second, third = rng.sample(rng.choice([COLOURS, COLOURS, ADJECTIVES]), 3)
    start = rng.choice([["a"], ["the"], ["two"], [], ["his"]])
    quote, end = rng.choice([('"', '"'), ("“", "”"), ("‘", "’"), ("'", "'")])
    tight = rng.random() < 0.5
    said = [quote, *rng.choice(SAID).split(), end]
    quoted = [
        Word(w, "B" if not start and i == 0 else "I", not (tight and (i in (1, len(said) - 1))))
        for i, w in enumerate(said)
    ]
    owner = [
        rng.choice(["my", "the", "her", "our"]),
        rng.choice(["sister", "baker", "neighbour", "dog", "captain", "friend", "boss"]),
    ]
    clitic = rng.choice(["'s", "’s"])
    spaced = rng.random() < 0.5
    chain = [
        *owner,
        clitic,
        rng.choice(["husband", "friend", "mother", "garden", "dog"]),
        clitic,
        *rng.choice([[], ["old"], ["tool"]]),
        noun,
    ]
    made = [
        phrase([*start, first, ",", second, rng.choice([",", "and", ", and"]).split()[0], third, noun]),
        phrase([*start, first, ",", second, ",", "and", third, noun]),
        phrase([*start, first, "and", second, noun]),
        phrase([*start, first, ",", second, noun]),
        phrase([*start, first, "-", "and", "-", second, noun]),
        joined(rng.choice(bank), outside(rng.choice(["in", "dressed in", "wearing"])), phrase([rng.choice(COLOURS)])),
        joined(rng.choice(bank), outside("in"), phrase([rng.choice(COLOURS)]), outside("and"), phrase([rng.choice(COLOURS)])),
        joined(rng.choice(bank), outside("in"), phrase([rng.choice(COLOURS)]), outside("and"), phrase([rng.choice(COLOURS)]), outside(_verb(rng, rng.choice([0, 1, 2])))),
        joined(rng.choice(bank), outside("in"), phrase([rng.choice(COLOURS)]), outside(_verb(rng, rng.choice([0, 1, 2])))),
        phrase([*start, rng.choice(NOUNS), "-", rng.choice(ENDS), noun]),
        phrase([*start, rng.choice(BEFORE_ENDS), rng.choice(ENDS), noun]),
        phrase([*start, rng.choice(FLAVOURS), "and", rng.choice(FLAVOURS), rng.choice(DISHES)]),
        phrase([*start, first, "-", rng.choice(["eyed", "haired", "colored", "tone", "way", "piece", "level"]), noun]),
        phrase([*start, str(rng.randint(2, 90)), "-", rng.choice(["year", "foot", "inch", "mile", "piece"]), *rng.choice([[], ["-", "old"]]), noun]),
        [*phrase(start), *quoted, Word(rng.choice(["sign", "poster", "banner", "label", "sticker", "button"]), "I")],
        joined(phrase(["a", "sign"]), outside(rng.choice(["that says", "reading", "saying", "says"])), [Word(w.text, "O", w.space) for w in quoted]),
        [Word(w, "I" if i else "B", w != clitic or spaced) for i, w in enumerate(chain)],
        phrase([rng.choice(["the", "a"]), rng.choice(["number", "room", "bus", "platform", "gate", "jersey number", "highway"]), str(rng.randint(1, 400))]),
        phrase([*start, rng.choice(["1950s", "1960s", "1920s", "90s", "19th century", "1970s"]), noun]),
        joined(phrase([rng.choice(["a", "the"]), noun]), outside(rng.choice(["sold for", "bought for", "worth", "for", "costs"])), phrase([rng.choice("$£€"), f"{rng.randint(1, 90)}.{rng.randint(1, 9)}", rng.choice(["million", "billion", "m"])])),
        joined(outside(rng.choice(["sounds", "looks", "feels", "tastes", "smells"]), "like"), rng.choice(bank)),
        joined(rng.choice(bank), outside("side", "by", "side"), _prep(rng), rng.choice(bank)),
    ]  # fmt: skip
    line = rng.choice(made)
    if rng.random() < 0.3:
        line = joined(line, outside(_verb(rng, rng.choice([0, 2]))))
    return joined(line, tail) if rng.random() < 0.7 else line


def foreign(bank: Bank, rng: random.Random) -> Line:
    return outside(*rng.choice(FOREIGN).split())


KINDS: list[tuple[Callable[[Bank, random.Random], Line], int]] = [
    (clause, 24), (attached, 20), (post, 24), (fragment, 8), (listing, 14), (headline, 12), (product, 22), (social, 8), (modifiers, 30), (foreign, 2),
]  # fmt: skip


def phrase_bank(lines: list[Line]) -> Bank:
    """Phrases of at most five tokens from captions where every token is sure."""
    bank: Bank = []
    for line in lines:
        if all(word.sure for word in line):
            for i, word in enumerate(line):
                if word.label == "B":
                    end = i + 1
                    while end < len(line) and line[end].label == "I":
                        end += 1
                    if end - i <= 5:
                        bank.append([Word(w.text, w.label, w.space or k == 0) for k, w in enumerate(line[i:end])])
    return bank
