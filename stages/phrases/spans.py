"""From tokens inside a phrase to a span with its head and norm: the rules that every backend shares."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stages.phrases.lexicon import (
    ADVERBIAL,
    COLOURS,
    DETERMINERS,
    FOCUS,
    NEVER_ALONE,
    NEVER_FIRST,
    NEVER_LAST,
    NUMBER_MARKS,
    PRONOUNS,
)
from stages.phrases.tokens import Kind

_LEADING = re.compile(rf"(?:(?:{'|'.join(sorted(DETERMINERS))}) )+(?=.)")
_CODE = re.compile(
    r"(?=[a-z0-9/-]*\d)(?=[a-z0-9/-]*[a-z])[a-z]{1,4}[-/]?\d{2,}[a-z0-9/-]*|x\d|\d+[a-z]?-\d+[a-z]*|\d{2,}[a-z]{1,3}\d+"
)


_RULED = PRONOUNS | NEVER_ALONE | NEVER_LAST | COLOURS | ADVERBIAL.keys()


class NounPhrase(NamedTuple):
    """A base noun phrase: `caption[start:end] == text`.

    `head` is the head noun in lower case; `norm` the text as statistics count it (`norm_of`).
    """

    start: int
    end: int
    text: str
    head: str
    norm: str


class Chunk(NamedTuple):
    """A span and the span of its head, in characters of the caption."""

    start: int
    end: int
    head_start: int
    head_end: int


def noun_phrase(caption: str, chunk: Chunk) -> NounPhrase:
    text = caption[chunk.start : chunk.end]
    return NounPhrase(chunk.start, chunk.end, text, caption[chunk.head_start : chunk.head_end].lower(), norm_of(text))


@lru_cache(maxsize=50_000)
def norm_of(text: str) -> str:
    """NFKC, lower case, white space folded, without leading determiner or possessive pronoun."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    words = " ".join(text.lower().split())
    return words[match.end() :] if (match := _LEADING.match(words)) else words


def is_plain(form: str, kind: int) -> bool:
    """Whether a chunk whose last word this is needs none of the rules of `chunk_of` (unless a hyphen stands before)."""
    return kind == Kind.WORD and form.isalpha() and form not in _RULED


def is_opening(form: str, kind: int) -> bool:
    """Whether a chunk that begins with this word needs no rule there."""
    return kind == Kind.WORD and form not in NEVER_FIRST and form not in FOCUS


class Forms(Protocol):
    def __getitem__(self, token: int, /) -> str: ...


class Row(NamedTuple):
    """The tokens of a batch: characters, form and kind of each."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    forms: Forms
    kinds: NDArray[np.int8]


class Beside(NamedTuple):
    """The forms of the tokens beside a run, empty at the edges of the caption."""

    earlier: str  # the last but one before it
    before: str
    after: str


def chunk_of(row: Row, first: int, last: int, beside: Beside) -> Chunk | None:
    """The chunk of tokens first..last, trimmed at its edges; None where nothing of a noun phrase is left."""
    kinds, forms = row.kinds, row.forms
    while first <= last and not _may_begin(row, first, last):
        first += 1
    while first <= last and (trailing := _trailing(row, first, last)):
        last -= trailing
    if first > last:
        return None
    if all(kinds[i] == Kind.NUMBER or forms[i] in PRONOUNS or kinds[i] == Kind.PUNCT for i in range(first, last + 1)):
        return None
    if first == last and _stands_alone_as_no_phrase(forms[first], beside):
        return None
    head_start, head_end = _head(row, first, last)
    return Chunk(int(row.start[first]), _without_stop(row, last), head_start, head_end)


def _may_begin(row: Row, first: int, last: int) -> bool:
    """A word, a number, or a currency sign with something behind it; "more photos", but not "more a village"."""
    kind, form = row.kinds[first], row.forms[first]
    if form in FOCUS:
        return first == last or row.forms[first + 1] not in DETERMINERS
    return bool(kind == Kind.NUMBER or is_opening(form, kind) or (kind == Kind.CURRENCY and first < last))


def _trailing(row: Row, first: int, last: int) -> int:
    """How many tokens at the end are no part of a phrase: marks, codes, adverbs, "x 12", "circa 1920"."""
    if row.kinds[last] > Kind.NUMBER or _is_trailing_code(row, first, last) or _is_trailing_word(row, first, last):
        return 1
    return 2 if row.kinds[last] == Kind.NUMBER and last > first and row.forms[last - 1] in NUMBER_MARKS else 0


def _stands_alone_as_no_phrase(form: str, beside: Beside) -> bool:
    """ "in front of", "side by side", a colour behind the only comma, or a code that opens the caption."""
    earlier, before, after = beside
    idiom = before in ADVERBIAL.get(form, ()) or (form, after) == ("side", "by")
    colour = form in COLOURS and (before, after) == (",", "") and earlier not in COLOURS
    return idiom or colour or form in NEVER_ALONE or (not before and bool(_CODE.fullmatch(form)))


def _is_trailing_code(row: Row, first: int, last: int) -> bool:
    """A model or serial code behind the noun: "drill XD-18V2"."""
    form = row.forms[last]
    return last > first and row.kinds[last] == Kind.WORD and form[-1].isalnum() and bool(_CODE.fullmatch(form))


def _is_trailing_word(row: Row, first: int, last: int) -> bool:
    """ "a cat indoors" is [a cat], "the outdoors" stays."""
    return last > first and row.forms[last] in NEVER_LAST and row.forms[last - 1] not in (*DETERMINERS, "great")


def _without_stop(row: Row, last: int) -> int:
    """The end of a token, less the dot of an abbreviation: "the U.S." is [the U.S]."""
    return int(row.end[last]) - (row.forms[last][-1] == ".")


def _head(row: Row, first: int, last: int) -> tuple[int, int]:
    """The last word; the noun before a number ("Size 8", "May 2021"); a compound with spaced hyphens whole."""
    kinds, forms = row.kinds, row.forms
    head = last
    if kinds[last] == Kind.NUMBER:
        while head > first and kinds[head] == Kind.NUMBER:
            head -= 1
        if kinds[head] != Kind.WORD or forms[head] in DETERMINERS:
            head = last
    elif last - first >= 2 and forms[last - 1] == "-" and kinds[last - 2] == Kind.WORD:
        return int(row.start[last - 2]), _without_stop(row, last)
    return int(row.start[head]), _without_stop(row, head)
