"""The default backend: our own chunker, a small network over hashed features that needs numpy alone.

Written by hand because parsers are slow, and wrong in the same ways on captions again and again: docs/phrases.md has
the figures beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from stages.phrases.decode import Chunked, decode
from stages.phrases.network import GAP, WEIGHTS, Floats, Network
from stages.phrases.vocabulary import Column, TokenArrays, Vocabulary

BATCH_CHARACTERS = 24_000  # a few hundred captions: the arrays of a batch stay in the processor's cache


class Distilled:
    """Chunks captions with the packaged weights."""

    name = "distilled"

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._weights = weights
        self._embedded: Column | None = None

    @cached_property
    def version(self) -> str:
        """The sha256 of the weights."""
        return "sha256:" + hashlib.sha256(self._weights.read_bytes()).hexdigest()

    @cached_property
    def _network(self) -> Network:
        return Network(self._weights)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._network.known)

    def chunk(self, captions: Sequence[str]) -> Iterator[Chunked]:
        """The chunks of each caption, in order."""
        for batch in batches(captions, BATCH_CHARACTERS):
            tokens = self._vocabulary.tokens(batch)
            yield from decode(tokens, self._scores(tokens, len(batch)).argmax(1), self._vocabulary, len(batch))

    def probabilities(self, captions: Sequence[str]) -> tuple[TokenArrays, Floats]:
        """The tokens of one batch, and of each the probabilities of outside, begin and inside, (T, 3)."""
        tokens = self._vocabulary.tokens(captions)
        scores = np.exp(self._scores(tokens, len(captions)))
        return tokens, scores / scores.sum(1, keepdims=True)

    def _scores(self, tokens: TokenArrays, captions: int) -> Floats:
        """Scores of OUTSIDE, BEGIN and INSIDE for each token, (T, 3)."""
        position = np.arange(len(tokens.type)) + GAP * (tokens.caption + 1)  # row of each token among the gaps
        is_gap = np.ones(len(tokens.type) + GAP * (captions + 1), bool)
        is_gap[position] = False
        x = np.zeros((len(is_gap), self._network.features.shape[1]), np.float32)
        x[position] = self._embeddings()[tokens.type]
        scores = self._network.scores(x, np.flatnonzero(is_gap))
        return np.asarray(scores[position], np.float32)

    def _embeddings(self) -> Floats:
        """One row per token type of the vocabulary; those that are new since the last batch are added."""
        rows = self._vocabulary.rows
        if self._embedded is None or len(self._embedded) > len(rows):  # the vocabulary has been cleared
            self._embedded = Column(np.float32, (self._network.features.shape[1],))
        if len(self._embedded) < len(rows):
            self._embedded.extend(self._network.embed(rows[len(self._embedded) :]))
        return self._embedded.array


def batches(captions: Sequence[str], characters: int) -> Iterator[Sequence[str]]:
    """Slices of the captions with about so many characters each, so that a very long caption is alone in its own."""
    start = size = 0
    for i, caption in enumerate(captions):
        size += len(caption)
        if size >= characters:
            yield captions[start : i + 1]
            start, size = i + 1, 0
    if start < len(captions):
        yield captions[start:]
