"""What the reference backends share: their spans are put on our tokens, so that one set of rules finishes them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stages.chunking.decode import BEGIN, INSIDE, Chunked, decode
from stages.chunking.network import Network
from stages.chunking.vocabulary import TokenArrays, Vocabulary

CharSpans = list[tuple[int, int]]


class Finisher:
    """Applies the common rules to spans in characters."""

    def __init__(self) -> None:
        self._vocabulary = Vocabulary(Network().known)

    def finish(self, captions: Sequence[str], spans: Sequence[CharSpans]) -> Iterator[Chunked]:
        tokens = self._vocabulary.tokens(captions)
        edges = np.searchsorted(tokens.caption, np.arange(len(captions) + 1))
        labels = np.zeros(len(tokens.type), np.int64)
        for i, found in enumerate(spans):
            _mark(labels, tokens, int(edges[i]), int(edges[i + 1]), found)
        yield from decode(tokens, labels, self._vocabulary, len(captions))


def _mark(labels: NDArray[np.int64], tokens: TokenArrays, lo: int, hi: int, spans: CharSpans) -> None:
    start, end = tokens.start[lo:hi], tokens.end[lo:hi]
    for first, last in spans:
        inside = np.flatnonzero((start < last) & (end > first))
        labels[lo + inside] = INSIDE
        labels[lo + inside[:1]] = BEGIN
