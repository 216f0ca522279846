"""Turns one parse of a caption into base noun phrases by the guide: noun chunks, with their known errors mended.

Works on our own tokens. What larger parsers get wrong on captions, in order of cost: bare nouns in title-like fragments
are missed; participles, numbers and spaced compounds are cut off; two phrases are merged across "and" or a comma; inner
nouns of complex prepositions, clipped adjectives and adverbs are taken for phrases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stages.phrases.lexicon import words

NOUNS = frozenset({"NN", "NNS", "NNP", "NNPS"})
BEFORE = frozenset({"JJ", "JJR", "JJS", "CD", "DT", "PDT", "PRP$", "WP$", "$", "POS"}) | NOUNS
COLOURS = frozenset(
    words(
        """white black red blue green yellow orange pink purple brown grey gray gold silver beige tan turquoise maroon
        navy"""
    )
)
TIMES = frozenset(
    words(
        """monday tuesday wednesday thursday friday saturday sunday january february march april june july august
        september october november december today yesterday tomorrow tonight"""
    )
)
NEVER = frozenset(words("""today yesterday tomorrow tonight earlier outdoors indoors outside inside left right"""))
OPENING_NOUNS = frozenset(
    words("boy man girl biker dinosaur tattoo sign view closeup sunrise rainbow bedroom roofs leaves darts elf cross")
)
ADVERBIAL = {  # bare nouns that are part of a preposition or adverb after these words
    "front": {"in"},
    "top": {"on", "atop"},
    "side": {"by", "along"},
    "spite": {"in"},
    "lieu": {"in"},
    "behalf": {"on"},
    "addition": {"in"},
    "terms": {"in"},
    "means": {"by"},
    "way": {"by"},
    "order": {"in"},
    "course": {"of"},
    "least": {"at"},
    "case": {"in"},
}
PRONOUN_TAGS = frozenset({"PRP", "WP", "EX", "WDT"})
PRONOUNS = frozenset(
    words(
        """i me you he him she it we us they them who whom what which this that these those something anything nothing
        everything someone somebody anyone anybody everyone everybody none nobody both all each either neither some
        any few several many much more most less another other others one ones such themselves himself herself
        itself myself yourself ourselves mine yours hers ours theirs there here s 's u ur"""
    )
)


class Parse(NamedTuple):
    """One caption under one pipeline, by token."""

    forms: Sequence[str]  # lower case
    words: Sequence[bool]  # a word or number (not a mark, symbol, link)
    tags: Sequence[str]
    deps: Sequence[str]
    heads: Sequence[int]
    chunks: Sequence[tuple[int, int]]


Spans = list[tuple[int, int]]


def mend(parse: Parse) -> Spans:
    """Token spans of the base noun phrases."""
    owner = [-1] * len(parse.forms)
    for i, (start, end) in enumerate(parse.chunks):
        for t in range(start, end):
            owner[t] = i
    spans = [span for span in parse.chunks if not _pronoun(parse, span)]
    spans = _complete(parse, spans)
    spans = _extend(parse, spans)
    spans = _merge(parse, spans)
    spans = [part for span in spans for part in _split(parse, span)]
    spans = [trimmed for span in spans if (trimmed := _trim(parse, span)) and _keep(parse, trimmed)]
    return _close_ups(parse, sorted(set(spans)))


def _close_ups(parse: Parse, spans: Spans) -> Spans:
    """ "close up of a bee", "extreme close up shot": written with a space, parsers take it for an adverb or a verb."""
    for t in range(len(parse.forms) - 1):
        if (parse.forms[t], parse.forms[t + 1]) != ("close", "up"):
            continue
        start, end = t, t + 2
        while start > 0 and parse.tags[start - 1] in ("DT", "JJ", "PRP$"):
            start -= 1
        following = next((span for span in spans if span[0] <= end < span[1] and parse.words[end]), None)
        if following and parse.tags[end] not in ("DT", "PRP$"):
            end = following[1]
        elif end < len(parse.forms) and parse.words[end] and parse.tags[end] != "IN":
            continue  # "close up the shop"
        spans = sorted([span for span in spans if span[1] <= start or span[0] >= end] + [(start, end)])
    return spans


def _pronoun(parse: Parse, span: tuple[int, int]) -> bool:
    start, end = span
    return parse.tags[end - 1] in PRONOUN_TAGS or (end - start == 1 and parse.forms[start] in PRONOUNS)


def _free(spans: Spans, count: int) -> list[bool]:
    free = [True] * count
    for start, end in spans:
        free[start:end] = [False] * (end - start)
    return free


def _complete(parse: Parse, spans: Spans) -> Spans:
    """Adds runs that end in a noun no chunk covers."""
    count = len(parse.forms)
    free = _free(spans, count)
    spans = list(spans)
    t = count - 1
    while t >= 0:
        if not (free[t] and parse.words[t] and (_is_noun(parse, t) or _colour_as_noun(parse, t))):
            t -= 1
            continue
        start = t
        while start > 0 and free[start - 1] and _premodifies(parse, start - 1, t):
            start -= 1
        spans.append((start, t + 1))
        t = start - 1
    return sorted(spans)


def _is_noun(parse: Parse, t: int) -> bool:
    """By its tag; some nouns that open a caption are taken for verbs or exclamations again and again."""
    opens = t == 0 and parse.forms[0] in OPENING_NOUNS and parse.tags[1:2] in (["IN"], ["VBG"], ["VBZ"], ["."], [","])
    return parse.tags[t] in NOUNS or opens


def _colour_as_noun(parse: Parse, t: int) -> bool:
    """ "dressed in white", "in red and blue": a colour behind a preposition and before no noun."""
    if parse.forms[t] not in COLOURS:
        return False
    following = parse.tags[t + 1] if t + 1 < len(parse.forms) else "."
    before = t - 1
    while before >= 0 and (
        parse.forms[before] in COLOURS or parse.forms[before] in ("and", ",", "all", "bright", "dark")
    ):
        before -= 1
    return (
        before >= 0
        and parse.forms[before] in ("in", "on", "of", "against", "wearing")
        and (following in ("CC", ",", ".", "IN", "VBG", "VBZ", "VBP", "RB", ":", "TO", "VBD", "VBN"))
    )


def _premodifies(parse: Parse, t: int, noun: int) -> bool:
    """Whether token t, right before a phrase that ends at `noun`, belongs to it."""
    tag = parse.tags[t]
    if parse.forms[t] == "-" and t > 0 and parse.words[t - 1] and parse.words[t + 1]:
        return True
    if not parse.words[t] and tag != "POS":
        return tag == "$"
    if tag in BEFORE:
        return parse.forms[t] not in ("that", "this", "both", "all") or tag == "DT"
    inside = t < parse.heads[t] <= noun
    return inside and (
        (tag in ("VBN", "VBG", "VBD") and parse.deps[t] in ("amod", "compound", "nmod"))
        or (tag in ("RB", "RBR", "RBS") and parse.deps[t] == "advmod" and parse.tags[parse.heads[t]] not in NOUNS)
    )


def _extend(parse: Parse, spans: Spans) -> Spans:
    """Moves starts to the left over free modifiers, and ends over the rest of a spaced hyphen compound."""
    result: Spans = []
    taken = 0
    for i, (start, end) in enumerate(spans):
        limit = taken
        while start > limit and _premodifies(parse, start - 1, end - 1) and parse.tags[start - 1] not in NOUNS:
            start -= 1
        following = spans[i + 1][0] if i + 1 < len(spans) else len(parse.forms)
        while (
            end + 1 < following
            and parse.forms[end] == "-"
            and parse.tags[end + 1] in ("RP", "IN", "RB", "NN")
            and (parse.forms[end + 1] in ("up", "off", "in", "out", "down", "on"))
        ):
            end += 2
        result.append((start, end))
        taken = end
    return result


def _merge(parse: Parse, spans: Spans) -> Spans:
    """Joins neighbours of which the first modifies the second: "her custom | made | dog collar"."""
    result: Spans = []
    for span in spans:
        if result:
            start, end = result[-1]
            between = range(end, span[0])
            root = parse.heads[end - 1]
            links = span[0] <= root < span[1] and parse.deps[end - 1] in (
                "compound",
                "amod",
                "nmod",
                "poss",
                "npadvmod",
            )
            bridge = all(parse.tags[t] in ("VBN", "VBG", "HYPH", "POS", "JJ") or parse.forms[t] == "-" for t in between)
            deep = any(
                span[0] <= parse.heads[t] < span[1] and parse.deps[t] in ("amod", "compound", "nmod") for t in between
            )
            if [parse.forms[t] for t in between] == ["-"] and _hyphenated(parse, start, end, span):
                result[-1] = (start, span[1])
                continue
            determined = parse.tags[span[0]] in ("DT", "PRP$", "PDT")
            if not determined and bridge and (links if not between else deep and parse.heads[end - 1] in between):
                result[-1] = (start, span[1])
                continue
        result.append(span)
    return result


ENDINGS = frozenset(
    words(
        """free like friendly style fashioned old looking sized end quality speed class scale level time term lapse air
        made shaped based covered colored coloured painted inspired themed"""
    )
)


def _hyphenated(parse: Parse, start: int, end: int, after: tuple[int, int]) -> bool:
    """ "rain - soaked | washing": the token behind a spaced hyphen ends a compound modifier of the same phrase."""
    second = parse.forms[after[0]]
    ends = second in ENDINGS or (second.endswith("ed") and parse.tags[after[0]] in ("VBN", "JJ", "VBD"))
    return ends and after[1] - after[0] > 1 and (end - start == 1 or parse.tags[start] in ("DT", "PRP$", "CD", "JJ"))


def _split(parse: Parse, span: tuple[int, int]) -> Spans:
    """Cuts "national park and swiss village", keeps "black and white dog"."""
    start, end = span
    for t in range(start + 1, end - 1):
        if parse.forms[t] in ("and", "&", "or", ",", "/", "+", "n", "-", "--", "–", ":", "|", ".", ";", "("):
            if parse.forms[t] == "-" and parse.words[t - 1] and parse.tags[t - 1] != "CD":
                continue
            left, right = (start, t), (t + 1, end)
            if parse.forms[t] in ("--", "–", ":", "|", ".", ";", "("):
                return [*_split(parse, left), *_split(parse, right)]
            noun_left = parse.tags[t - 1] in NOUNS and parse.forms[t - 1] not in COLOURS
            long_left = t - start >= 2 and parse.tags[start] not in ("DT", "PRP$")
            determined = parse.tags[t + 1] in ("DT", "PRP$") or parse.forms[t] == ","
            conjunct = any(
                parse.deps[k] == "conj" and start <= parse.heads[k] < t and k == end - 1 for k in range(t + 1, end)
            )
            if noun_left and (conjunct or determined or (long_left and end - t > 2)):
                return [left, *_split(parse, right)]
    return [span]


def _trim(parse: Parse, span: tuple[int, int]) -> tuple[int, int] | None:
    start, end = span
    while start < end and (
        (not parse.words[start] and parse.tags[start] != "$") or parse.tags[start] in ("CC", "POS", "IN")
    ):
        start += 1
    while start < end and (
        not parse.words[end - 1]
        or (parse.tags[end - 1] in ("CC", "POS", "DT", "IN") and end - start > 1 and parse.forms[end - 2] != "-")
    ):
        end -= 1
    return (start, end) if start < end else None


def _keep(parse: Parse, span: tuple[int, int]) -> bool:
    start, end = span
    words = [parse.forms[t] for t in range(start, end)]
    tags = [parse.tags[t] for t in range(start, end)]
    before = parse.forms[start - 1] if start else ""
    if all(word in PRONOUNS or word in ("the", "a", "an", "of") for word in words):
        return False
    if (
        before in ("is", "are", "was", "were")
        and words[-1].endswith("ing")
        and len(words) <= 2
        and tags[0] not in ("DT", "PRP$", "JJ")
    ):
        return False  # "a boy is rock climbing"
    if len(words) == 1:
        word = words[0]
        if word in NEVER or (
            not _is_noun(parse, start)
            and tags[0]
            in (
                "RB",
                "RBR",
                "IN",
                "VBG",
                "VBN",
                "VB",
                "VBZ",
                "VBP",
                "MD",
                "TO",
                "WRB",
                "UH",
                "CD",
            )
        ):
            return word in COLOURS
        if before in ADVERBIAL.get(word, ()):
            return False
        if tags[0] in ("JJ", "JJR", "JJS"):
            return word in COLOURS and before in ("in", "on", "of", "and", "against", "wearing")
    return True
