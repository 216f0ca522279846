"""What the reference backends share: their spans are put on our tokens, so that one set of rules finishes them all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.phrases.decode import BEGIN, INSIDE, Chunked, decode
from stages.phrases.network import Network
from stages.phrases.vocabulary import TokenArrays, Vocabulary

CharSpans = list[tuple[int, int]]


def content_hash(path: Path) -> str:
    """sha256 over the names and bytes of a model's files (a folder, or one archive), compiled Python left out."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    named = sorted((file.relative_to(path).as_posix(), file) for file in files if file.suffix != ".pyc")
    digest = hashlib.sha256()
    for name, file in named:
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return "sha256:" + digest.hexdigest()


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
    """Labels the tokens lo..hi of one caption, which stand in order, that any of its spans touches."""
    firsts = lo + np.searchsorted(tokens.end[lo:hi], [first for first, _ in spans], side="right")
    lasts = lo + np.searchsorted(tokens.start[lo:hi], [last for _, last in spans], side="left")
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        labels[first:last] = INSIDE
        labels[first : min(first + 1, last)] = BEGIN
