"""A corpus of signatures for benchmarks/curate.py: images drawn from real photographs, with planted copies.

An image is the sum of four photographs of a bank, each with a sign: 10^16 different images of 7,971 photographs, no two
of which are alike unless three of the four are the same. All views of an image are linear in its pixels, so that the
bits of the sum have the correlations of those of photographs. Their keys are less crowded, as sums are less peculiar
than photographs are; the benchmark records both. A copy is the same sum of the same photographs, each of them altered.
Everything about an image follows from its number.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.curate.signature import SIDE, THUMB, VIEWS, Bytes, bits_of, frequencies, thumbnails
from stages.images import decode_grey
from tests.stages.curate.photographs import ALTERATIONS, jpeg

KINDS = (None, *ALTERATIONS)  # of an image: no copy, or which alteration
EXACT = len(KINDS)  # a copy with the same bytes
WEIGHTS = (5, 4, 4, 3)
LEVEL = 300  # standard deviation of the whole numbers that are kept of a photograph's frequencies
PIXELS = 10**8

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Bank:
    """Of B photographs, each with all alterations (K kinds): frequencies of all views, and thumbnails, both of a
    common contrast."""

    waves: NDArray[np.int16]  # (B, K, len(VIEWS), BITS)
    thumbs: NDArray[np.int16]  # (B, K, THUMB, THUMB)


def photographs(folder: Path, count: int) -> Iterator[bytes]:
    """Of the JPEGs in the tars of a folder."""
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name.endswith(".jpg") and count:
                    count -= 1
                    yield tar.extractfile(member).read()  # type: ignore[union-attr]


def bank_of(folder: Path, count: int) -> Bank:
    """Photographs are altered at half their size, which is done in minutes."""
    waves, thumbs = [], []
    for data in photographs(folder, count):
        image = Image.open(io.BytesIO(data))
        image.draft("RGB", (image.width // 2, image.height // 2))
        image = image.convert("RGB")
        altered = [image, *(alter(image) for alter in ALTERATIONS.values())]
        grey = np.stack([decode_grey(jpeg(version), PIXELS, SIDE) for version in altered])
        wave, thumb = frequencies(grey), thumbnails(grey).astype(np.float64)
        waves.append(np.clip(wave * (LEVEL / wave[0, 0].std()), -1500, 1500).astype(np.int16))
        flat = thumb - thumb.mean((1, 2), keepdims=True)
        thumbs.append(np.clip(flat * (40 / max(1.0, flat[0].std())), -250, 250).astype(np.int16))
    return Bank(np.stack(waves), np.stack(thumbs))


def mixed(numbers: Ints, salt: int) -> Hashes:
    """A hash of each number (SplitMix64)."""
    x = numbers.astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15) & (2**64 - 1))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class Corpus:
    """`copies`: share of images that are copies; a fifth of them has the same bytes."""

    bank: Bank
    copies: float = 0.25

    def kinds(self, numbers: Ints) -> Ints:
        """(N,) what each image is: 0, of no other; an alteration; EXACT."""
        share = mixed(numbers, 1) / 2.0**64
        kind = 1 + (mixed(numbers, 2) % np.uint64(EXACT - 1)).astype(np.int64)
        kind[share < self.copies / 5] = EXACT
        return np.where((share < self.copies) & (numbers > 0), kind, 0)

    def sources(self, numbers: Ints) -> Ints:
        """(N,) the image that each is a copy of; its own number where it is none."""
        found = numbers.copy()
        todo = np.flatnonzero(self.kinds(numbers))
        found[todo] = (mixed(numbers[todo], 3) % numbers[todo].astype(np.uint64)).astype(np.int64)
        while len(todo := todo[self.kinds(found[todo]) > 0]):
            found[todo] -= 1
        return found

    def digests(self, numbers: Ints) -> Bytes:
        """(N, 16)."""
        of = np.where(self.kinds(numbers) == EXACT, self.sources(numbers), numbers)
        return np.stack([mixed(of, 4), mixed(of, 5)], axis=1).view(np.uint8)

    def bits(self, numbers: Ints) -> Bytes:
        """(N, len(VIEWS), BYTES)."""
        return bits_of(self._sum(self.bank.waves, numbers).reshape(len(numbers), len(VIEWS), -1))

    def thumbs(self, numbers: Ints) -> Bytes:
        """(N, THUMB, THUMB)."""
        strength = float(np.sqrt(np.square(WEIGHTS).sum()))
        found = 128 + self._sum(self.bank.thumbs, numbers) / strength
        return np.clip(np.round(found), 0, 255).astype(np.uint8).reshape(-1, THUMB, THUMB)

    def _sum(self, values: NDArray[np.int16], numbers: Ints) -> NDArray[np.int16]:
        """(N, values of a photograph)."""
        kind, of = self.kinds(numbers) % EXACT, self.sources(numbers)
        found = np.zeros((len(numbers), *values.shape[2:]), np.int16)
        for place, weight in enumerate(WEIGHTS):
            drawn = mixed(of, 10 + place)
            sign = np.where(drawn >> np.uint64(63), weight, -weight).astype(np.int16)
            photo = (drawn % np.uint64(len(values))).astype(np.int64)
            found += values[photo, kind] * sign.reshape(-1, *[1] * (found.ndim - 1))
        return found
