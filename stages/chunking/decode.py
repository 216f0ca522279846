"""From a label per token to the chunks of each caption: one set of rules for every backend."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.chunking.spans import Chunk, Row, chunk_of
from stages.chunking.tokens import Kind
from stages.chunking.vocabulary import TokenArrays, Vocabulary

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
    first, last = _runs(tokens.caption, labels, kinds)
    first_list, last_list = first.tolist(), last.tolist()
    owner = tokens.caption[first].tolist()
    types = tokens.type.tolist()
    forms = [vocabulary.forms[i] for i in types]
    row = Row(tokens.start.tolist(), tokens.end.tolist(), forms, kinds.tolist())
    starts_caption = np.ones(len(kinds) + 1, bool)
    starts_caption[1:-1] = tokens.caption[1:] != tokens.caption[:-1]
    found = [Chunked([], reason) for reason in _reasons(tokens, kinds, vocabulary, captions)]
    for lo, hi, caption, alone in zip(first_list, last_list, owner, starts_caption[first].tolist(), strict=True):
        result = found[caption]
        if result.reason is None and (chunk := chunk_of(row, lo, hi, "" if alone else forms[lo - 1])):
            result.chunks.append(chunk)
    return found


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


def _reasons(
    tokens: TokenArrays, kinds: NDArray[np.int8], vocabulary: Vocabulary, captions: int
) -> list[str | None]:
    foreign = vocabulary.foreign(tokens.caption, tokens.type, captions)
    is_text = (kinds <= Kind.NUMBER).astype(np.float64) + (kinds == Kind.FOREIGN)
    empty = np.bincount(tokens.caption, is_text, captions) == 0
    return ["unparsable" if nothing else "not_english" if other else None for nothing, other in zip(empty, foreign)]
