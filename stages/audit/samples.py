"""The images of the report: a seeded sample, the worst-of galleries, and their thumbnails."""

from __future__ import annotations

import base64
import io as bytesio
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.records import ROWS_PER_PART_LIMIT, make_key
from stages.audit.merge import Merged
from stages.audit.summary import WORST
from stages.images import decode_rgb
from stages.stage import ImageRef, RowError, RunIO

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
}

SampleImage = dict[str, Any]
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
        table = io.read_part("pairs", parts[i], ["key", "image"])
        with_image = table.filter(pc.is_valid(table["image"]))["key"]
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
            found[int(sample["key"])] = sample
    samples = [found[key] | {"galleries": galleries} for key, galleries in chosen.items() if key in found]
    return add_thumbnails(io, samples, max_pixels)


def read_samples(io: RunIO, part: int, keys: list[str]) -> list[SampleImage]:
    """Caption, phrases and boxes (kept or not, with the reason), and true boxes of some pairs of one part."""
    rows = {name: _rows(io, name, part, keys) for name in ("pairs", "phrases", "labels", "pseudo", "gold")}
    return [_image(rows["pairs"][key], *(rows[n].get(key) for n in list(rows)[1:])) for key in rows["pairs"]]


def _rows(io: RunIO, dataset: str, part: int, keys: list[str]) -> dict[str, dict[str, Any]]:
    if not io.has_part(dataset, part):
        return {}
    table = io.read_part(dataset, part)
    table = table.filter(pc.is_in(table["key"], pa.array(keys, pa.string())))
    return {row["key"]: row for row in table.to_pylist()}


def _image(pair: Any, phrases: Any, labels: Any, pseudo: Any, gold: Any) -> SampleImage:
    return {
        "key": pair["key"],
        "source_id": pair["source_id"] or "",
        "image": pair["image"],
        "sha256": pair["sha256"],
        "width": pair["width"],
        "height": pair["height"],
        "caption": pair["caption"],
        "phrases": _phrases(phrases, labels),
        "left": [[d["start"], d["end"], d["reason"]] for d in (phrases or {}).get("dropped") or []],
        "boxes": _boxes(labels, pseudo),
        "gold": [
            [round(b[c], 1) for c in ("x1", "y1", "x2", "y2")] + [b["category"] or ""]
            for b in (gold or {}).get("boxes") or []
        ],
    }


def _phrases(phrases: Any, labels: Any) -> list[list[Any]]:
    """[start, end, norm], and the reason where the label stage left the phrase out."""
    out = {entry["phrase"]: [entry["reason"]] for entry in (labels or {}).get("dropped") or []}
    listed = (phrases or {}).get("phrases") or []
    return [[p["start"], p["end"], p["norm"] or "", *out.get(i, [])] for i, p in enumerate(listed)]


def _boxes(labels: Any, pseudo: Any) -> list[list[Any]]:
    """[phrase, x1, y1, x2, y2, score, reason it was dropped ("": kept)], kept ones first, then by score."""
    dropped = {entry["box"]: entry["reason"] for entry in (pseudo or {}).get("dropped") or []}
    boxes = [
        [b["phrase"], *(round(b[c], 1) for c in ("x1", "y1", "x2", "y2")), round(b["score"], 4), dropped.get(i, "")]
        for i, b in enumerate((labels or {}).get("boxes") or [])
    ]
    return sorted(boxes, key=lambda box: (box[6] != "", -box[5], box[0]))


def add_thumbnails(io: RunIO, samples: list[SampleImage], max_pixels: int) -> list[SampleImage]:
    """Read, decode and shrink the images; the more there are, the smaller. `missing` says why one cannot be shown."""
    side = next(pixels for most, pixels in SIDES if len(samples) <= most)
    refs = [ImageRef(**p["image"]) for p in samples if p["image"]]
    images = iter(io.image_bytes(refs))
    for sample in samples:
        data = next(images) if sample.pop("image") else RowError("no_image")
        try:
            if isinstance(data, RowError):
                raise data
            thumbnail = shrink(data, side, max_pixels)
        except RowError as error:
            sample["missing"] = error.reason
        else:
            sample["thumbnail"] = base64.b64encode(thumbnail).decode("ascii")
    return samples


def shrink(data: bytes, side: int, max_pixels: int) -> bytes:
    """A WebP of at most `side` pixels along the longest side, upright. Raises RowError for what cannot be decoded."""
    from PIL import Image

    image = Image.fromarray(decode_rgb(data, max_pixels))
    image.thumbnail((side, side))
    out = bytesio.BytesIO()
    image.save(out, "WEBP", quality=62, method=4)
    return out.getvalue()
