"""Makes web-like captions out of clean ones: other letter case, glued punctuation, entities, names, hashtags, codes.

A caption is a list of tokens with labels (B, I, O) and whether a space stands before each; every change works on that
list, so the spans stay right.
"""

# ruff: noqa: E501  (one alternative a line reads better than one cut in two)

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from recipes.chunker.captions import tokens_of
from stages.phrases.lexicon import words

DETERMINERS = frozenset(["a", "an", "the"])


@dataclass(frozen=True)
class Word:
    text: str
    label: str  # B, I, O
    space: bool = True  # a space stands before it
    sure: bool = True


Line = list[Word]


def line_of(row: dict[str, Any]) -> Line:
    """Tokens of a labelled caption."""
    caption = row["caption"]
    words: Line = []
    before = 0
    starts = {a for a, _ in row["spans"]}
    for token in tokens_of(caption):
        inside = any(a <= token.start and token.end <= b for a, b in row["spans"])
        sure = not any(a <= token.start and token.end <= b for a, b in row.get("unsure", []))
        label = "B" if token.start in starts and inside else "I" if inside else "O"
        words.append(Word(caption[token.start : token.end], label, token.start > before, sure))
        before = token.end
    return words


def row_of(line: Line, weight: float = 1.0) -> dict[str, Any]:
    """The caption with its spans, in characters."""
    caption, spans, unsure = "", [], []
    for word in line:
        if caption and word.space:
            caption += " "
        start = len(caption)
        caption += word.text
        if word.label == "B":
            spans.append([start, len(caption)])
        elif word.label == "I" and spans:
            spans[-1][1] = len(caption)
        if not word.sure:
            unsure.append([start, len(caption)])
    return {"caption": caption, "spans": spans, "unsure": unsure, "weight": weight}


# --- single changes -------------------------------------------------------------------------------------------------


def upper(line: Line, rng: random.Random) -> Line:
    return [replace(w, text=w.text.upper()) for w in line]


_SMALL = frozenset(["a", "an", "the", "of", "in", "on", "at", "to", "and", "or", "by", "with", "for", "from"])


def title(line: Line, rng: random.Random) -> Line:
    keep_small = rng.random() < 0.6
    return [
        w
        if (keep_small and i and w.text.lower() in _SMALL) or not w.text[0].isalpha()
        else replace(w, text=w.text[0].upper() + w.text[1:])
        for i, w in enumerate(line)
    ]


def sentence_case(line: Line, rng: random.Random) -> Line:
    return [replace(line[0], text=line[0].text[:1].upper() + line[0].text[1:]), *line[1:]]


def lower(line: Line, rng: random.Random) -> Line:
    return [replace(w, text=w.text.lower()) for w in line]


def glue(line: Line, rng: random.Random) -> Line:
    """Spaces as people type them: none before a comma, a clitic or a closing bracket, none around a hyphen in a word."""
    result: Line = []
    quote_open = False
    for i, w in enumerate(line):
        space = w.space
        before = result[-1] if result else None
        if w.text in (",", ".", "!", "?", ";", ":", ")", "..", "...", "%") or w.text.lower() in (
            "'s",
            "'re",
            "'ll",
            "'d",
            "'ve",
            "'m",
            "n't",
        ):
            space = False
        if before and before.text in ("(", "$", "£", "#", "@"):
            space = False
        if w.text == '"':
            space = not quote_open and space
            quote_open = not quote_open
        elif before and before.text == '"' and quote_open:
            space = False
        if w.text == "-" and before and w.label == "I" and i + 1 < len(line) and line[i + 1].label == "I":
            following = line[i + 1]
            result[-1] = replace(before, text=before.text + "-" + following.text)
            line[i + 1 : i + 2] = [replace(following, text="")]
            continue
        if w.text:
            result.append(replace(w, space=space))
    return result


def drop_determiners(line: Line, rng: random.Random) -> Line:
    """Telegram style: "a man in the rain" becomes "man in rain"; every article goes, or all but some."""
    result: Line = []
    begin = False
    for i, w in enumerate(line):
        if (
            w.text.lower() in DETERMINERS
            and w.label == "B"
            and i + 1 < len(line)
            and line[i + 1].label == "I"
            and rng.random() < 0.9
        ):
            begin = True
            continue
        if begin and w.label == "I":
            w = replace(w, label="B")
        begin = False
        result.append(w)
    return result or line


def no_full_stop(line: Line, rng: random.Random) -> Line:
    return line[:-1] if len(line) > 1 and line[-1].text == "." else line


def entities(line: Line, rng: random.Random) -> Line:
    result = []
    for w in line:
        text = w.text
        if text.lower() == "and" and rng.random() < 0.7:
            text = rng.choice(["&", "&amp;", "&"])
        elif text == "&":
            text = "&amp;"
        elif text.startswith("'") and len(text) > 1:
            text = rng.choice(["’", "&#39;", "&#039;", "&rsquo;", "’"]) + text[1:]
        elif text == '"':
            text = rng.choice(["&quot;", "“", "”"])
        result.append(replace(w, text=text))
    return result


def with_slash(line: Line, rng: random.Random) -> Line:
    return [replace(w, text="w/") if w.text.lower() == "with" else w for w in line]


FIRST = words(
    """Anna Ben Carlos Priya Mei Tom Lena Marek Sofia Omar Yuki Ivan Grace Noah Fatima Jonas Elena Samir Kate Pedro
    Aisha Luca Ingrid Dmitri Chloe Hassan Nina Oscar Ravi Julia Peter Mary John Emma David Sarah Tommy Zoe Max Rosa
    Diego Liam Olga"""
)
LAST = words(
    """Lopez Smith Novak Kim Patel Müller Garcia Rossi Tanaka O'Brien Svensson Kowalski Haddad Nguyen Brown Silva
    Dubois Jones Ivanov Costa Fischer Okafor Larsen Wong Moreau Taylor Hill Walker Ortiz Becker"""
)
TITLES = ["Dr.", "Mr.", "Mrs.", "Captain", "Queen", "Uncle", "Aunt", "Professor", "President", "Sir", "Chef", "Coach"]
PLACES = words(
    """Oslo Norway London Paris France Berlin Tokyo Japan Lisbon Portugal Sydney Australia Texas California Ohio Rome
    Italy Kenya Peru Lima Chicago Boston Toronto Canada Prague Vienna Austria India Delhi Mumbai China Beijing
    Wiltshire Scotland Edinburgh Dublin Ireland Cornwall Bavaria Brazil Cuba Havana Utah Seattle"""
)
TWO_PLACES = ["New York", "San Francisco", "Czech Republic", "New Zealand", "Lake Bled", "Hong Kong", "Cape Town", "South Africa",
              "Los Angeles", "Tower Bridge", "Times Square", "Central Park", "Sri Lanka", "Hyde Park", "Mount Fuji", "Red Square"]  # fmt: skip


def name(rng: random.Random) -> list[str]:
    kind = rng.random()
    if kind < 0.4:
        return [rng.choice(FIRST)]
    if kind < 0.85:
        return [rng.choice(FIRST), rng.choice(LAST)]
    return [rng.choice(TITLES), rng.choice(LAST)]


def place(rng: random.Random) -> list[str]:
    return rng.choice(TWO_PLACES).split() if rng.random() < 0.3 else [rng.choice(PLACES)]


def phrase(words: list[str], space: bool = True) -> Line:
    return [Word(w, "I" if i else "B", space or i > 0) for i, w in enumerate(words)]


def real_names(line: Line, rng: random.Random) -> Line:
    """The class words of masked captions become names again: "person" a name, "a city" a place."""
    result: Line = []
    i = 0
    while i < len(line):
        w = line[i]
        alone = i + 1 >= len(line) or line[i + 1].label != "I"
        if w.label == "B" and alone and w.text.lower() in ("person", "actor", "politician", "athlete", "artist"):
            result += phrase(name(rng), w.space)
        elif (
            w.label == "B"
            and w.text.lower() in ("a", "the")
            and i + 1 < len(line)
            and line[i + 1].text.lower() in ("city", "country", "town")
            and (i + 2 >= len(line) or line[i + 2].label != "I")
        ):
            result += phrase(place(rng), w.space)
            i += 1
        elif w.label == "B" and not alone and line[i + 1].text.lower() in ("'s", "’s") and w.text.lower() == "person":
            result += phrase(name(rng), w.space)
        else:
            result.append(w)
        i += 1
    return result


TAGS = words(
    """travel food love cat photography nature sunset vintage wedding fashion art home diy foodie instagood design
    summer winter familytime dogsofinstagram ootd throwback tbt handmade interior streetstyle happy beach wildlife"""
)
EMOJI = [
    "😀",
    "❤️",
    "📷",
    "🐶",
    "🌅",
    "🎃",
    "🍕",
    "⛄",
    "✨",
    "🔥",
    "👗",
    "🥕🥕",
    "😂😂😂",
    "🎉",
    "👍🏽",
    "🏖️",
    "☕",
    "→",
    "★",
    "©",
    "®",
    "™",
]
SMILEYS = [":)", ":-)", ":D", "<3", "&lt;3", ";)", ":(", "xD"]


def outside(*texts: str, space: bool = True) -> Line:
    return [Word(text, "O", space or i > 0) for i, text in enumerate(texts)]


def code(rng: random.Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHKLMNPRSTVX") for _ in range(rng.choice([1, 2, 2, 3])))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice([2, 3, 4, 5])))
    tail = "".join(rng.choice("ABCDEX") for _ in range(rng.choice([0, 0, 1, 2])))
    return letters + rng.choice(["-", "", "-", "/"]) + digits + tail


def web_end(line: Line, rng: random.Random) -> Line:
    """What stands behind web captions: hashtags, handles, links, emoji, sources, prices, codes, places."""
    tails = []
    for _ in range(rng.choice([1, 1, 2])):
        tails.append(
            rng.choice(
                [
                    lambda: outside(*["#" + rng.choice(TAGS) for _ in range(rng.choice([1, 2, 3, 4]))]),
                    lambda: outside(*[rng.choice(EMOJI) for _ in range(rng.choice([1, 2]))]),
                    lambda: outside(rng.choice(SMILEYS)),
                    lambda: outside("@" + rng.choice(TAGS) + rng.choice(["", "_", "."]) + rng.choice(TAGS)),
                    lambda: outside(
                        rng.choice(["https://", "http://www.", "www."]) + rng.choice(TAGS) + ".example/" + code(rng)
                    ),
                    lambda: [
                        *outside("|"),
                        *phrase(rng.choice([["Stock", "Photo"], ["stock", "photo"], ["Getty", "Images"]])),
                    ],
                    lambda: [
                        *outside(rng.choice(["-", "--", "|"])),
                        *phrase(["stock", rng.choice(["photo", "vector", "image"])]),
                        *outside("#" + str(rng.randint(1, 99999))),
                    ],
                    lambda: [*outside("(", space=True), *phrase(place(rng), False), *outside(")", space=False)],
                    lambda: [*outside(",", space=False), *phrase(place(rng))],
                    lambda: [
                        *outside(",", space=False),
                        *phrase(place(rng)),
                        *outside(",", space=False),
                        *phrase(place(rng)),
                    ],
                    lambda: [*outside("in"), *phrase(place(rng))],
                    lambda: [
                        *outside("in"),
                        *phrase(
                            [rng.choice(["May", "June", "March", "August", "December"]), str(rng.randint(1950, 2024))]
                        ),
                    ],
                    lambda: outside(",", str(rng.randint(1900, 2024)), space=False),
                    lambda: outside(str(rng.randint(1950, 2024))),
                    lambda: [
                        *outside("-"),
                        *phrase([rng.choice(["$", "£", "€"]), f"{rng.randint(1, 99)}.{rng.randint(10, 99)}"]),
                    ],
                    lambda: [*outside("by"), *phrase(name(rng))],
                    lambda: outside("by", "@" + rng.choice(TAGS) + code(rng).replace("/", "")),
                    lambda: outside(code(rng)),
                    lambda: outside("!", "!", space=False),
                    lambda: outside("...", space=False),
                ]
            )()
        )
    for tail in tails:
        line = [*line, *tail]
    return line


def web_start(line: Line, rng: random.Random) -> Line:
    head = rng.choice(
        [
            lambda: outside(rng.choice(EMOJI)),
            lambda: [
                *phrase(rng.choice([["Photo"], ["Image"], ["PHOTO"], ["File", "photo"], ["VIDEO"], ["Picture"]])),
                *outside(":", space=False),
            ],
            lambda: outside(
                rng.choice(["NEW", "SOLD", "WOW", "Just in", "Watch", "LIVE", "New"]), rng.choice([":", "!", "-"])
            ),
            lambda: outside("#" + rng.choice(TAGS)),
            lambda: [
                *phrase(
                    [
                        rng.choice(["Fig", "Figure", "Photo", "Image", "Day", "Step", "Lot", "Room"]),
                        str(rng.randint(1, 40)),
                    ]
                ),
                *outside(rng.choice([":", "-", "."])),
            ],
            lambda: outside(str(rng.randint(1, 20)) + rng.choice([".", ")"])),
            lambda: outside('"'),
            lambda: outside(f"IMG_{rng.randint(1000, 9999)}.jpg"),
        ]
    )()
    return [*head, replace(line[0], space=head[-1].text != '"'), *line[1:]]


def join(first: Line, second: Line, rng: random.Random) -> Line:
    mark = rng.choice(["|", "-", "–", ".", ":", ";", ",", "//", "•", "!", "..."])
    if not second:
        return first
    return [
        *no_full_stop(first, rng),
        Word(mark, "O", mark not in ".:;,!..."),
        replace(second[0], space=True),
        *second[1:],
    ]


def sprinkle(line: Line, rng: random.Random) -> Line:
    """Emoji, hashtags and marks of excitement behind some of the phrases."""
    result: Line = []
    for i, w in enumerate(line):
        result.append(w)
        ends = w.label != "O" and (i + 1 == len(line) or line[i + 1].label != "I")
        if ends and rng.random() < 0.35:
            kind = rng.random()
            if kind < 0.6:
                result += [Word(rng.choice(EMOJI), "O", rng.random() < 0.8)]
            elif kind < 0.8:
                result += [Word("#" + rng.choice(TAGS), "O")]
            else:
                result += [Word(mark, "O", False) for mark in rng.choice(["!!!", "!", "...", "!?"])]
    return result


def websome(line: Line, rng: random.Random) -> Line:
    """One random web-like version of a caption."""
    line = list(line)
    if rng.random() < 0.35:
        line = real_names(line, rng)
    if rng.random() < 0.5:
        line = no_full_stop(line, rng)
    if rng.random() < 0.2:
        line = drop_determiners(line, rng)
    if rng.random() < 0.2:
        line = with_slash(line, rng)
    style = rng.random()
    for change, below in ((upper, 0.15), (title, 0.45), (sentence_case, 0.75), (lower, 0.9)):
        if style < below:
            line = change(line, rng)
            break
    if rng.random() < 0.65:
        line = glue(list(line), rng)
    if rng.random() < 0.25:
        line = web_start(line, rng)
    if rng.random() < 0.15:
        line = sprinkle(line, rng)
    if rng.random() < 0.5:
        line = web_end(no_full_stop(line, rng), rng)
    if rng.random() < 0.35:
        line = entities(line, rng)
    return line
