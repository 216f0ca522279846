"""The images of the report: a seeded sample, the worst-of galleries, and their thumbnails."""

from __future__ import annotations

import base64
import io as bytesio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pyarrow as pa

from schemas.records import ROWS_PER_PART_LIMIT, make_key
from schemas.tables import PairTable
from stages.audit.merge import Merged
from stages.audit.summary import WORST
from stages.images import open_rgb
from stages.sample_images import SampleImage, read_samples
from stages.stage import RowError, RunIO

MOST_BOXES = 40  # of one image in the page: kept ones first, then by score
MOST_CHARS = 600  # of a caption in the page
SIDES = ((150, 400), (600, 288), (2000, 192), (1_000_000, 128))  # up to so many images: longest side in pixels

GALLERIES = {
    "sample": "seeded sample",
    "lowest_score": "lowest kept score",
    "most_boxes": "most boxes",
    "largest_box": "largest box",
    "most_crowded": "most crowded",
    "nothing_found": "asked most, nothing found",
    "rarest_phrases": "rarest phrases",
    "confident_errors": "confident, but not in the truth",
    "teachers_disagree": "sure, and unseen by another teacher",
    "mask_gap": "mask furthest from its box",
}

Row = TypeVar("Row")
Chosen = dict[int, dict[str, int]]  # key (as a number) -> the galleries that it is in, and its place in each


def choose(merged: Merged, io: RunIO, samples: int, seed: int) -> Chosen:
    """The pairs to be shown: each gallery from its worst down, then the seeded sample."""
    chosen: Chosen = {}
    for gallery in (*(name for name in GALLERIES if name != "sample"), "sample"):
        keys = sampled_keys(merged, io, samples, seed) if gallery == "sample" else _gallery(merged, gallery)
        for place, key in enumerate(keys):
            chosen.setdefault(key, {})[gallery] = place
    return chosen


def sampled_keys(merged: Merged, io: RunIO, samples: int, seed: int) -> list[int]:
    """`images` pairs drawn evenly from all pairs that have an image, numbered in the order of their keys."""
    parts, counts = list(merged.image_pairs), np.array(list(merged.image_pairs.values()), np.int64)
    total = int(counts.sum())
    numbers = np.array(sorted(random.Random(seed).sample(range(total), min(samples, total))), np.int64)
    ends = np.cumsum(counts)
    place = np.searchsorted(ends, numbers, side="right")  # which part each lies in
    keys: list[int] = []
    for i in np.unique(place):
        pairs = PairTable.read_part(io, parts[i], PairTable.key, PairTable.image)
        with_image = pairs.key.filter(pa.array(pairs.image.given))
        keys += map(int, with_image.take(numbers[place == i] - (ends[i] - counts[i])).to_pylist())
    return keys


def _gallery(merged: Merged, gallery: str) -> list[int]:
    if gallery != "rarest_phrases":
        return [key for _, key in merged.worst.get(gallery, [])]
    phrases = merged.terms["phrases"]
    boxes = phrases.columns["boxes"]
    kept = np.flatnonzero(boxes > 0)
    rarest = kept[
        np.argsort(boxes[kept], kind="stable")
    ]  # equal counts stay in the order of their hashes: an even draw
    return list(dict.fromkeys(phrases.columns["kept_key"][rarest[: 4 * WORST]].tolist()))[:WORST]


def load(io: RunIO, chosen: Chosen, max_pixels: int) -> list[SampleImage]:
    """Everything that the page shows of the chosen pairs, in the order chosen."""
    by_part: dict[int, list[int]] = {}
    for key in chosen:
        by_part.setdefault(key // ROWS_PER_PART_LIMIT, []).append(key)
    found: dict[int, SampleImage] = {}
    for part, keys in sorted(by_part.items()):
        names = [make_key(part, key % ROWS_PER_PART_LIMIT) for key in sorted(keys)]
        for sample in read_samples(io, part, names):
            found[int(sample.key)] = sample
    samples = [replace(found[key], galleries=galleries) for key, galleries in chosen.items() if key in found]
    return with_thumbnails(io, samples, max_pixels)


def with_thumbnails(
    io: RunIO, samples: Sequence[SampleImage], max_pixels: int, side: int | None = None
) -> list[SampleImage]:
    """Read, decode and shrink the images to `side` pixels; None: the more there are, the smaller. `missing` says why
    one cannot be shown."""
    side = side or next(pixels for most, pixels in SIDES if len(samples) <= most)
    images = iter(io.image_bytes([sample.pair.image for sample in samples if sample.pair.image]))
    return [
        _with_thumbnail(sample, next(images) if sample.pair.image else RowError("no_image"), side, max_pixels)
        for sample in samples
    ]


def _with_thumbnail(sample: SampleImage, data: bytes | RowError, side: int, max_pixels: int) -> SampleImage:
    try:
        return replace(sample, thumbnail=thumbnail(data, side, max_pixels))
    except RowError as error:
        return replace(sample, missing=error.reason)


def thumbnail(data: bytes | RowError, side: int, max_pixels: int) -> str:
    """What `shrink` gives, in base64. Raises RowError for what cannot be read or decoded."""
    if isinstance(data, RowError):
        raise data
    return base64.b64encode(shrink(data, side, max_pixels)).decode("ascii")


def shrink(data: bytes, side: int, max_pixels: int) -> bytes:
    """A WebP of at most `side` pixels along the longest side, upright. Raises RowError for what cannot be decoded."""
    image = open_rgb(data, max_pixels)
    image.thumbnail((side, side))
    out = bytesio.BytesIO()
    image.save(out, "WEBP", quality=62, method=4)
    return out.getvalue()
