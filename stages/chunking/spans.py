"""From tokens inside a phrase to a span with its head and norm: the rules that every backend shares."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from stages.chunking.lexicon import DETERMINERS

_LEADING = re.compile(rf"(?:(?:{'|'.join(sorted(DETERMINERS))}) )+(?=.)")


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


def norm_of(text: str) -> str:
    """NFKC, lower case, without leading determiner or possessive pronoun, white space folded."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    words = " ".join(text.lower().split())
    return words[match.end() :] if (match := _LEADING.match(words)) else words
