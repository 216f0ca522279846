"""Images on their way to signatures: decoded in batches, whatever they belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stages.curate.signature import SIDE, as_rows, signatures
from stages.images import decode_grey
from stages.stage import RowError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256  # images whose signatures are computed together
DIGEST = 16  # bytes of an image's sha256 that are kept

Name = TypeVar("Name")


def signed(
    images: Iterable[tuple[Name, bytes | RowError]], max_pixels: int
) -> Iterator[tuple[Name, bytes, bytes | None, bytes | None]]:
    """Of each image in order: its name, digest, bits and thumbnail; None for one that cannot be read or decoded."""
    rest = iter(images)
    while batch := list(islice(rest, BATCH)):
        small: dict[int, NDArray[np.uint8]] = {}
        for number, (_, data) in enumerate(batch):
            if not isinstance(data, RowError):
                with suppress(RowError):
                    small[number] = decode_grey(data, max_pixels, SIDE)
        found: dict[int, tuple[bytes, bytes]] = {}
        if small:
            bits, thumbs = signatures(np.stack(list(small.values())))
            rows = zip(as_rows(bits), as_rows(thumbs), strict=True)
            found = {number: (own.tobytes(), thumb.tobytes()) for number, (own, thumb) in zip(small, rows, strict=True)}
        for number, (name, data) in enumerate(batch):
            digest = b"" if isinstance(data, RowError) else hashlib.sha256(data).digest()[:DIGEST]
            yield name, digest, *found.get(number, (None, None))
