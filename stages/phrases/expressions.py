"""A phrase grown to its referring expression: "a dog" to "a dog in a field of flowers" (GRIT's second step).

GRIT (Kosmos-2, arXiv 2306.14824) adds to the head of a noun chunk all that depends on it in a parse. Here, the phrases
that the chunker has found and the words between them decide, by a small grammar of what may follow a noun:

    expression: phrase follower*
    follower:   preposition (phrase | pronoun)      "in a field", "next to it"
              | participle clause                   "wearing a hat", "covered in snow"
              | (who | that | which) clause         "who is reaching his hand out"
              | to verb clause                      "to build houses"
              | and (phrase | follower)             within an expression: "with plants and pots"

A phrase with a conjunct ("a man and a woman") does not grow, as in GRIT. Behind a finite verb, most prepositions belong
to the verb ("rides a bike on the street"), and only the followers that `_follows_an_object` names are taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from stages.phrases.lexicon import words
from stages.phrases.spans import NounPhrase

_ITEM = re.compile(r"[^\W_]+(?:['’-][^\W_]+|[.,]\d+)*|[^\w\s]")

PREPOSITIONS = frozenset(
    words(
        """of in on at with by from for into onto to through throught over under near behind beside besides between
        among against along across around above below beneath inside outside off toward towards about without within
        during after before past up down next like as via per upon amid amongst atop beyond despite until since
        whit vs"""
    )
)
RELATIVES = frozenset(words("who that which whose whom where"))
CONJUNCTIONS = frozenset(words("and or &"))
PRONOUNS = frozenset(words("it him her them me us you himself herself itself themselves each other all one another"))
ADVERBS = frozenset(
    words(
        """just only even still very together alone away back out off up down below above outside inside indoors
        outdoors ahead nearby here there slowly quickly happily right left straight not also front top close far along
        around free high low so too either both"""
    )
)
TRAILING = frozenset(words("below underneath above outside inside out up down away back alone together nearby off on"))
SUBORDINATORS = frozenset(words("as while when until because but although though if than"))  # begin a clause
ADJECTIVES = frozenset(
    words("available native full alone ready free close similar adjacent perfect suitable worth due")
)
TO_BE = frozenset(words("is are was were be been being"))
FINITE = TO_BE | frozenset(
    words(
        """has have had do does did will would can could should may might must 's 're isn't
        aren't wasn't"""
    )
)
# Past participles that stand behind a noun more often than the same form does as a verb in the past tense.
PARTICIPLES = frozenset(
    words(
        """dressed covered decorated made taken seen surrounded surounded hung filled wrapped rolled painted isolated
        located built parked designed written drawn carved loaded lined topped attached printed used based inspired
        named called known worn captured mounted placed perched seated tied stacked lit revealed teamed set held shown
        found given grown born caught created owned equipped adorned armed clad trimmed framed arranged prepared
        sprinkled stuffed served packed nestled hidden protected engraved illuminated illustrated labeled labelled
        marked outlined paired pictured photographed posed reflected sculpted separated shaped shot spread
        suspended trapped viewed woven being"""
    )
)
PLACES = frozenset(words("in on inside through along across under over onto into around"))
HOLDING = frozenset(
    words(
        """wearing holding carrying containing featuring overlooking showing depicting including advertising displaying
        saying"""
    )
)
# Past tenses that people's captions have: "a boy jumped over a fence".
PAST = frozenset(
    words(
        """jumped walked looked played stopped arrived returned moved talked smiled stayed lived worked appeared
        continued danced climbed crossed wanted tried used needed seemed ended started happened turned raced kicked"""
    )
)
WORN = frozenset(
    words(
        """shirt t-shirt tshirt jacket coat hat cap dress suit uniform uniforms shorts pants jeans skirt vest sweater
        hoodie helmet costume costumes glasses sunglasses scarf bikini swimsuit outfit gear clothes clothing shirts
        jackets coats dresses shoes boots attire gown white black red blue green yellow pink orange purple brown"""
    )
)
# Prepositions that belong to the noun before them even where that noun is a verb's object.
OF_OBJECTS = frozenset(words("of for against between"))
WITHIN = frozenset("'’&$£€%#")  # marks at which no clause ends
_NO_VERB = PREPOSITIONS | CONJUNCTIONS | PRONOUNS | ADVERBS | ADJECTIVES | RELATIVES | SUBORDINATORS

LONGEST = 60  # words and phrases that an expression may have behind its phrase


class Item(NamedTuple):
    """A phrase by its number, or a word or mark between phrases in lower case (phrase -1)."""

    end: int  # in characters of the caption
    phrase: int
    form: str


def expressions(caption: str, phrases: Sequence[NounPhrase]) -> list[tuple[int, int]]:
    """The span [start, end) of each phrase's expression, which begins where the phrase does; the phrase's own span
    where it does not grow. Phrases are in text order and do not overlap."""
    items = _items(caption, phrases)
    grammar = Grammar(items, [phrase.head for phrase in phrases])
    places = [place for place, item in enumerate(items) if item.phrase >= 0]
    return [(phrase.start, items[grammar.last(place)].end) for phrase, place in zip(phrases, places, strict=True)]


def outermost(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that lie in no other one, in text order; of equal ones one. GRIT keeps these."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or end > kept[-1][1]:
            kept.append((start, end))
    return kept


def _items(caption: str, phrases: Sequence[NounPhrase]) -> list[Item]:
    found: list[Item] = []
    at = 0
    for number, phrase in enumerate(phrases):
        found += [Item(match.end(), -1, match[0].lower()) for match in _ITEM.finditer(caption, at, phrase.start)]
        found.append(Item(phrase.end, number, ""))
        at = phrase.end
    return found + [Item(match.end(), -1, match[0].lower()) for match in _ITEM.finditer(caption, at)]


class Grammar:
    """What may follow the phrases of one caption. Places are indexes of its items; a method that reads from a place on
    returns the last place that belongs to what it reads, or -1."""

    def __init__(self, items: Sequence[Item], heads: Sequence[str]) -> None:
        self._items = items
        self._heads = heads
        self._governed, self._passive = self._behind_verbs()

    def last(self, at: int) -> int:
        """The place of the last item of the expression whose phrase stands at a place."""
        if self._has_conjunct(at):
            return at
        last, governed = at, self._governed[at]
        while last - at < LONGEST:
            begin = last + 1
            end = self._follower(begin, inside=last > at, governed=governed)
            if end < 0:
                break
            # A clause of its own takes all that follows.
            governed &= not any(self._is_participle(i) or self._form(i) in RELATIVES for i in range(begin, end + 1))
            last = end
        return last

    def _form(self, at: int) -> str:
        """The word at a place; empty for a phrase and beyond the ends."""
        return self._items[at].form if 0 <= at < len(self._items) else ""

    def _is_phrase(self, at: int) -> bool:
        return 0 <= at < len(self._items) and self._items[at].phrase >= 0

    def _head(self, at: int) -> str:
        """The head of a phrase; empty for a word and beyond the ends."""
        return self._heads[self._items[at].phrase] if self._is_phrase(at) else ""

    def _behind_verbs(self) -> tuple[list[bool], list[bool]]:
        """Of each place, whether a finite verb stands before it in the same clause, and whether that is in the passive
        ("is hit by")."""
        governing, passives = [], []
        governed = passive = False
        for at in range(len(self._items)):
            governing.append(governed)
            passives.append(passive)
            form = self._form(at)
            if form in SUBORDINATORS or (form and not form[0].isalnum() and form not in WITHIN):
                governed = passive = False
            elif self._is_verb(at):
                governed = True
                passive |= self._form(at - 1) in TO_BE and not form.endswith("ing")
        return governing, passives

    def _is_verb(self, at: int) -> bool:
        """Any other word between phrases, for want of a tagger; a participle behind a form of "to be" or "to have"."""
        form = self._form(at)
        if not form or not form[0].isalnum() or form in _NO_VERB:
            return False
        return self._form(at - 1) in FINITE if self._is_participle(at) else not form.endswith("ly")

    def _is_participle(self, at: int) -> bool:
        form = self._form(at)
        if form.endswith("ing") and len(form) > 4:
            return True
        behind_noun = form.endswith("ed") and form not in PAST and self._is_phrase(at - 1)
        return form in PARTICIPLES or (behind_noun and self._form(at + 1) in PREPOSITIONS)

    def _has_conjunct(self, at: int) -> bool:
        after = self._form(at + 1) in CONJUNCTIONS and self._is_phrase(at + 2)
        before = self._form(at - 1) in CONJUNCTIONS and self._is_phrase(at - 2)
        return after or before

    def _follower(self, at: int, *, inside: bool, governed: bool) -> int:
        """`inside`: the expression has grown already; `governed`: its phrase stands behind a verb."""
        begin = at
        while self._form(at) in ADVERBS - PREPOSITIONS and self._begins(at + 1):
            at += 1
        form = self._form(at)
        if governed and not self._follows_an_object(at, self._form(begin - 2), inside):
            return -1
        if inside and form in CONJUNCTIONS:
            return self._conjunct(at + 1)
        if inside and form == "," and (end := self._list(at)) >= 0:
            return end
        if form == "to" and self._form(at + 1) and self._form(at + 1) not in PREPOSITIONS:
            return self._clause(at + 1)
        if form in RELATIVES:
            return self._clause(at + 1, finite=True)
        if form == "," and self._form(at + 1) in ("who", "which", "whose"):
            return self._clause(at + 2, finite=True)
        if self._is_participle(at):
            return self._clause(at)
        if form in ADJECTIVES and self._form(at + 1) in PREPOSITIONS:
            return self._follower(at + 1, inside=True, governed=False)
        end = self._prepositional(at) if form in PREPOSITIONS else -1
        return at if end < 0 and inside and form in TRAILING else end

    def _begins(self, at: int) -> bool:
        return self._form(at) in PREPOSITIONS | RELATIVES or self._is_participle(at)

    def _follows_an_object(self, at: int, before: str, inside: bool) -> bool:
        """Whether a follower belongs to a noun behind a verb and not to the verb: "an expanse of snow", "a girl wearing
        a hat", "a man in an orange t-shirt", "on the pier by the sea", "a wall with drawings on it". `before`: the word
        before the noun."""
        form = self._form(at)
        if form in RELATIVES or form in OF_OBJECTS or form in CONJUNCTIONS or form == ",":
            return True
        if form in HOLDING:  # "sits on a bench holding a cup"
            return before not in PLACES
        if self._is_participle(at):
            return not form.endswith("ing")
        if form in ADJECTIVES:
            return self._form(at + 1) in PREPOSITIONS
        if form == "by":
            return before in PREPOSITIONS and not self._passive[at]
        if form == "with":
            return inside or (self._form(at + 2) in PREPOSITIONS and self._form(at + 3) in PRONOUNS)
        if inside and form in PREPOSITIONS and self._form(at + 1) in PRONOUNS:
            return True
        return form == "in" and self._head(at + 1) in WORN

    def _prepositional(self, at: int) -> int:
        """Prepositions and adverbs, then what they govern: a phrase, a pronoun, or a clause ("for growing trees")."""
        while self._form(at) in PREPOSITIONS | ADVERBS:
            at += 1
        if self._is_phrase(at) or self._form(at) in PRONOUNS:
            return at
        if self._is_participle(at):
            return self._clause(at)
        return self._clause(at + 1, finite=True) if self._form(at) in ("what", "where", "how") else -1

    def _conjunct(self, at: int) -> int:
        return at if self._is_phrase(at) else self._follower(at, inside=True, governed=False)

    def _list(self, comma: int) -> int:
        """The rest of a list within an expression, which ends with "and" and a phrase."""
        at = comma
        while self._form(at) == "," and self._is_phrase(at + 1):
            at += 2
        at += self._form(at) == ","
        return at + 1 if at > comma + 1 and self._form(at) in CONJUNCTIONS and self._is_phrase(at + 1) else -1

    def _clause(self, begin: int, *, finite: bool = False) -> int:
        """Words up to the next phrase, that included; without one, to a mark or the end. Only a clause of a relative
        pronoun has finite verbs; its subject may come first ("that a man holds")."""
        at = begin + 1 if finite and self._is_phrase(begin) else begin
        while (form := self._form(at)) and (form[0].isalnum() or form in WITHIN):
            if form in FINITE and not finite and at > begin:
                break
            at += 1
        if self._is_phrase(at):
            return at
        return at - 1 if at > begin else -1
