"""Hashes of texts that never change, by which parts and days are merged, and units drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def hash_texts(texts: Iterable[str]) -> Hashes:
    """64-bit hashes of texts (N,). Stable for ever: summaries of different days are merged by them."""
    digests = b"".join(hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(digests, "<u8").astype(np.uint64)
