"""From a label per token to the chunks of each caption: one set of rules for every backend."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.phrases.spans import Beside, Chunk, Row, chunk_of
from stages.phrases.tokens import Kind
from stages.phrases.vocabulary import COUNT, MONTH, NO_COUNT, YEAR, TokenArrays, Vocabulary

OUTSIDE, BEGIN, INSIDE = 0, 1, 2

_NEVER = np.zeros(len(Kind), bool)  # never inside a phrase
_NEVER[[Kind.LINK, Kind.SYMBOL, Kind.FOREIGN]] = True


class Chunked(NamedTuple):
    """The chunks of one caption, in order; and, where it could not be chunked, the code of the reason."""

    chunks: list[Chunk]
    reason: str | None


def decode(tokens: TokenArrays, labels: NDArray[np.int64], vocabulary: Vocabulary, captions: int) -> list[Chunked]:
    """Chunks of a batch of captions. labels (T,): OUTSIDE, BEGIN or INSIDE for each token."""
    kinds = vocabulary.kinds[tokens.type]
    labels = _with_numbers(labels, vocabulary.roles[tokens.type], tokens.caption)
    first, last = _runs(tokens.caption, labels, kinds)
    found = [Chunked([], reason) for reason in _reasons(tokens, kinds, vocabulary, captions)]
    row = Row(tokens.start, tokens.end, _Forms(vocabulary.forms, tokens.type), kinds)
    plain = vocabulary.opening[tokens.type[first]] & vocabulary.plain[tokens.type[last]]
    plain &= (kinds[last - 1] == Kind.WORD) | (first == last)
    columns = (tokens.caption[first], tokens.start[first], tokens.end[last], tokens.start[last], first, last, plain)
    for caption, start, end, head, lo, hi, easy in zip(*(column.tolist() for column in columns), strict=True):
        chunks, reason = found[caption]
        if reason is not None:
            continue
        if easy:
            chunks.append(Chunk(start, end, head, end))
        elif chunk := chunk_of(row, lo, hi, _beside(tokens.caption, row, lo, hi)):
            chunks.append(chunk)
    return found


def _beside(caption: NDArray[np.int64], row: Row, first: int, last: int) -> Beside:
    """What stands around a run in its own caption."""
    own = caption[first]
    at = (first - 2, first - 1, last + 1)
    return Beside(*(row.forms[i] if 0 <= i < len(caption) and caption[i] == own else "" for i in at))


class _Forms:
    """The form of each token, by its place in the batch."""

    def __init__(self, forms: list[str], types: NDArray[np.int32]) -> None:
        self._forms, self._types = forms, types

    def __getitem__(self, token: int) -> str:
        form: str = self._forms[int(self._types[token])]
        return form


def _runs(
    caption: NDArray[np.int64], labels: NDArray[np.int64], kinds: NDArray[np.int8]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last token of each run that the labels mark, links, symbols and foreign words cut out."""
    inside = (labels != OUTSIDE) & ~_NEVER[kinds]
    goes_on = np.zeros(len(labels), bool)  # the token belongs to the run of the one before
    goes_on[1:] = inside[1:] & inside[:-1] & (labels[1:] == INSIDE) & (caption[1:] == caption[:-1])
    ends = np.ones(len(labels), bool)
    ends[:-1] = ~goes_on[1:]
    return np.flatnonzero(inside & ~goes_on), np.flatnonzero(inside & ends)


def _with_numbers(labels: NDArray[np.int64], roles: NDArray[np.int8], caption: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers beside a phrase that belong to it: a month's year ("April 2017"), a count ("5 best hikes")."""
    same = caption[1:] == caption[:-1]
    before = np.zeros(len(labels), bool)  # the token before is in a phrase, or is one that numbers do not count after
    before[1:] = same & ((labels[:-1] != OUTSIDE) | (roles[:-1] == NO_COUNT))
    counts = same & (roles[:-1] == COUNT) & (labels[:-1] != INSIDE) & ~before[:-1]
    counts &= (labels[1:] != OUTSIDE) & (roles[1:] != NO_COUNT)
    labels = labels.copy()
    labels[:-1][counts] = BEGIN
    labels[1:][counts] = INSIDE
    years = same & (roles[:-1] == MONTH) & (roles[1:] == YEAR) & (labels[:-1] != OUTSIDE)
    years[:-1] &= labels[2:] != INSIDE  # "June 2017 festival": the year begins one of several words
    labels[1:][years] = INSIDE
    return labels


def _reasons(tokens: TokenArrays, kinds: NDArray[np.int8], vocabulary: Vocabulary, captions: int) -> list[str | None]:
    foreign = vocabulary.foreign(tokens.caption, tokens.type, captions)
    is_text = (kinds <= Kind.NUMBER).astype(np.float64) + (kinds == Kind.FOREIGN)
    empty = np.bincount(tokens.caption, is_text, captions) == 0
    return ["unparsable" if nothing else "not_english" if other else None for nothing, other in zip(empty, foreign)]
