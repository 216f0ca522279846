"""Images that several pairs of a run share, by the sha256 of their bytes: in COCO an image has five captions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Pair
from schemas.tables import PairTable
from stages.stage import RunIO


class SharedImages:
    """Who came first with an image: its key, and the number of the image.

    Only images that the run has more than once are remembered, so that memory follows their number and not the
    corpus's (8 bytes a pair while they are looked for).
    """

    def __init__(self, io: RunIO) -> None:
        self._repeated = repeated(io)
        self._first: dict[str, tuple[str, int]] = {}

    def find(self, pair: Pair) -> tuple[str, int] | None:
        """Key and number of the first pair with this image, if one was added."""
        return self._first.get(pair.sha256 or "")

    def has_several(self, pair: Pair) -> bool:
        """Whether the run has other pairs with this image (taken for true where 64 bits of two hashes are equal)."""
        return pair.sha256 is not None and beginning(pair.sha256) in self._repeated

    def add(self, pair: Pair, number: int) -> None:
        """The first pair with an image that has several."""
        self._first[pair.sha256 or ""] = pair.key, number


def repeated(io: RunIO) -> frozenset[int]:
    """How the sha256 begins of every image that two or more pairs of the run have."""
    found: list[NDArray[np.uint64]] = []
    for part in io.parts():
        if io.has_part(PairTable.dataset, part):
            hashes = PairTable.read_part(io, part, PairTable.sha256).sha256.to_pylist()
            found.append(np.array([beginning(one) for one in hashes if one is not None], np.uint64))
    ordered = np.sort(np.concatenate([np.zeros(0, np.uint64), *found]))
    return frozenset(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def beginning(sha256: str) -> int:
    """64 of its bits."""
    return int(sha256[:16], 16)
