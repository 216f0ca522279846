"""The default backend: our own chunker, a small network over hashed features that needs numpy alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.chunking.lexicon import PRONOUNS
from stages.chunking.network import GAP, WEIGHTS, Floats, Network
from stages.chunking.spans import Chunk
from stages.chunking.tokens import Kind
from stages.chunking.vocabulary import TokenArrays, Vocabulary

BATCH_CHARACTERS = 24_000  # a few hundred captions: the arrays of a batch stay in the processor's cache
OUTSIDE, BEGIN, INSIDE = 0, 1, 2


class Distilled:
    """Chunks captions with the packaged weights."""

    name = "distilled"
    version = "1"

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._path = weights
        self._vocabulary = Vocabulary()
        self._embedded: Floats | None = None

    @cached_property
    def _network(self) -> Network:
        return Network(self._path)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the weights."""
        return hashlib.sha256(self._path.read_bytes()).hexdigest()

    def chunk(self, captions: Sequence[str]) -> Iterator[list[Chunk]]:
        """The chunks of each caption, in order."""
        for batch in _batches(captions):
            yield from self._chunk(batch)

    def _chunk(self, captions: Sequence[str]) -> list[list[Chunk]]:
        tokens = self._vocabulary.tokens(captions)
        labels = self._labels(tokens, len(captions))
        return _chunks(tokens, labels, self._vocabulary, len(captions))

    def _labels(self, tokens: TokenArrays, captions: int) -> NDArray[np.int64]:
        """OUTSIDE, BEGIN or INSIDE for each token."""
        position = np.arange(len(tokens.type)) + GAP * (tokens.caption + 1)  # row of each token among the gaps
        rows = len(tokens.type) + GAP * (captions + 1)
        is_gap = np.ones(rows, bool)
        is_gap[position] = False
        x = np.zeros((rows, self._network.features.shape[1]), np.float32)
        x[position] = self._embeddings()[tokens.type]
        scores = self._network.scores(x, np.flatnonzero(is_gap))
        return np.asarray(scores[position].argmax(1))

    def _embeddings(self) -> Floats:
        """One row per token type of the vocabulary."""
        rows = self._vocabulary.rows
        if self._embedded is None or len(self._embedded) > len(rows):
            self._embedded = np.zeros((0, self._network.features.shape[1]), np.float32)
        known = len(self._embedded)
        if known < len(rows):
            self._embedded = np.concatenate([self._embedded, self._network.embed(rows[known:])])
        return self._embedded


def _batches(captions: Sequence[str]) -> Iterator[Sequence[str]]:
    start = size = 0
    for i, caption in enumerate(captions):
        size += len(caption)
        if size >= BATCH_CHARACTERS:
            yield captions[start : i + 1]
            start, size = i + 1, 0
    if start < len(captions):
        yield captions[start:]


_NEVER = np.zeros(len(Kind), bool)
_NEVER[[Kind.LINK, Kind.SYMBOL, Kind.FOREIGN]] = True
_EDGE = np.zeros(len(Kind), bool)  # may begin or end a phrase
_EDGE[[Kind.WORD, Kind.NUMBER]] = True


def _chunks(tokens: TokenArrays, labels: NDArray[np.int64], vocabulary: Vocabulary, captions: int) -> list[list[Chunk]]:
    found: list[list[Chunk]] = [[] for _ in range(captions)]
    kinds = vocabulary.kinds[tokens.type]
    inside = (labels != OUTSIDE) & ~_NEVER[kinds]
    new_caption = np.ones(len(labels), bool)
    new_caption[1:] = tokens.caption[1:] != tokens.caption[:-1]
    before = np.zeros(len(labels), bool)
    before[1:] = inside[:-1]
    begins = inside & ((labels == BEGIN) | ~before | new_caption)
    first = np.flatnonzero(begins)
    follows = np.zeros(len(labels) + 1, bool)
    follows[:-1] = inside & ~begins
    last = np.flatnonzero(inside & ~follows[1:])
    forms = vocabulary.forms
    start, end, caption, kind = tokens.start.tolist(), tokens.end.tolist(), tokens.caption.tolist(), kinds.tolist()
    types = tokens.type.tolist()
    for lo, hi in zip(first.tolist(), last.tolist(), strict=True):
        while lo <= hi and kind[lo] not in (Kind.WORD, Kind.NUMBER, Kind.CURRENCY):
            lo += 1
        while lo <= hi and kind[hi] not in (Kind.WORD, Kind.NUMBER):
            hi -= 1
        if lo > hi or (lo == hi and (kind[lo] == Kind.NUMBER or forms[types[lo]] in PRONOUNS)):
            continue
        head = hi
        head_start = start[head]
        if kind[hi] == Kind.NUMBER and kind[hi - 1] != Kind.CURRENCY:
            while head > lo and kind[head] != Kind.WORD:
                head -= 1
            head = hi if kind[head] != Kind.WORD else head
            head_start = start[head]
        elif hi - lo >= 2 and forms[types[hi - 1]] == "-":
            head_start = start[hi - 2]
        found[caption[lo]].append(Chunk(start[lo], end[hi], head_start, end[head]))
    return found
