"""Images on their way to signatures: decoded in batches, whatever they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.curate.rules import MEASURED, measure
from stages.curate.signature import SIDE, as_rows, signatures
from stages.images import decode_grey
from stages.stage import RowError

BATCH = 256  # images whose signatures are computed together
DIGEST = 16  # bytes of an image's sha256 that are kept

Name = TypeVar("Name")
Vector = NDArray[np.float32]  # (D,), of length 1


@dataclass(frozen=True)
class Signed:
    """What is kept of an image. `measures`: what `rules.measure` gives. Empty or None: nobody asked."""

    digest: bytes
    bits: bytes = b""
    thumb: bytes = b""
    measures: tuple[float, float, float] | None = None
    vector: Vector | None = None


def signed(
    images: Iterable[tuple[Name, bytes | RowError]], max_pixels: int, measured: bool = False
) -> Iterator[tuple[Name, Signed | None]]:
    """Of each image in order, by its name; None for one that cannot be read or decoded."""
    rest = iter(images)
    while batch := list(islice(rest, BATCH)):
        small: dict[int, NDArray[np.uint8]] = {}
        measures: dict[int, tuple[float, float, float]] = {}
        for number, (_, data) in enumerate(batch):
            if not isinstance(data, RowError):
                with suppress(RowError):
                    small[number] = decode_grey(data, max_pixels, SIDE)
                    if measured:
                        measures[number] = measure(decode_grey(data, max_pixels, MEASURED))
        found: dict[int, tuple[bytes, bytes]] = {}
        if small:
            bits, thumbs = signatures(np.stack(list(small.values())))
            rows = zip(as_rows(bits), as_rows(thumbs), strict=True)
            found = {number: (own.tobytes(), thumb.tobytes()) for number, (own, thumb) in zip(small, rows, strict=True)}
        for number, (name, data) in enumerate(batch):
            if isinstance(data, RowError) or number not in found:
                yield name, None
            else:
                yield name, Signed(hashlib.sha256(data).digest()[:DIGEST], *found[number], measures.get(number))
