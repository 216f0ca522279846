"""A run of images that readers stumble over: turned ones, shared ones, captions with outer spaces and odd letters.

Every phrase begins with the colour of what its boxes cover, so that a reader can be held to the pixels that it sees.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from stages.images import decode_rgb
from tests.stages.audit_run import SyntheticRun
from tests.stages.image_files import image_file

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 210), "yellow": (240, 230, 60)}
LICENSES = ["https://creativecommons.org/licenses/by/4.0/", "CC0", None]
CAPTIONS = [  # image, caption; phrases are "COLOUR corner" and "COLOUR edge"
    (0, "\u3000  On the İĞDIR road\u2028a red corner and a blue corner \u0085\n"),
    (1, "a green corner over a yellow corner"),
    (2, "a green edge, a red corner, then a blue corner"),
    (0, "yellow corner under a red corner"),
    (3, "a blue corner\u2029"),
]
IMAGES = [
    image_file(orientation=6, quality=95),
    image_file("PNG", orientation=3),
    image_file(quality=95),
    image_file("WEBP", orientation=8, lossless=True),
]


def odd_run(folder: Path) -> SyntheticRun:
    """Two boxes on the first phrase of each caption, one on every other."""
    run = SyntheticRun(folder, ingest={"source": "somewhere"}, label={"teacher": "glip-nano"})
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("pairs", "phrases", "labels", "pseudo")}
    for number, (image, caption) in enumerate(CAPTIONS):
        key = {"key": f"{number:012d}"}
        upright = decode_rgb(IMAGES[image], 10_000)
        height, width = upright.shape[:2]
        size = {"width": width, "height": height}
        phrases = phrases_of(caption)
        boxes = [box for i, phrase in enumerate(phrases) for box in boxes_of(i, phrase["text"], upright)]
        tables["pairs"].append(pair(number, image, caption) | size)
        tables["phrases"].append({**key, "caption": caption, "phrases": phrases, "dropped": []})
        tables["labels"].append({**key, **size, "boxes": boxes, "dropped": []})
        tables["pseudo"].append({**key, **size, "boxes": boxes, "dropped": []})
    for dataset, rows in tables.items():
        run.write(dataset, 0, rows)
    return run


def pair(number: int, image: int, caption: str) -> dict[str, Any]:
    path = f"source/{image}"
    return {
        "key": f"{number:012d}",
        "source_id": f"web/row#{number}",
        "caption": caption,
        "image": {"uri": path, "offset": -1, "length": -1},
        "orientation": (6, 3, 1, 8)[image],
        "sha256": hashlib.sha256(IMAGES[image]).hexdigest(),
        "license": LICENSES[image % 3],
    }


def phrases_of(caption: str) -> list[dict[str, Any]]:
    found = []
    for colour in COLOURS:
        for thing in ("corner", "edge"):
            text = f"{colour} {thing}"
            if text in caption:
                start = caption.index(text)
                norm = {"head": thing, "norm": text}
                found.append({"start": start, "end": start + len(text), "text": text, **norm})
    return sorted(found, key=lambda phrase: phrase["start"])


def boxes_of(phrase: int, text: str, upright: np.ndarray) -> list[dict[str, Any]]:
    """A corner is the quarter of its colour, for the first phrase in two halves; an edge is the last half pixel."""
    close = (np.abs(upright.astype(int) - COLOURS[text.split()[0]]).sum(2)) < 60
    (top, bottom), (left, right) = (
        (int(places.min()), int(places.max()) + 1)
        for places in (np.flatnonzero(close.any(1 - axis)) for axis in (0, 1))
    )
    if text.endswith("edge"):
        return [box(phrase, upright.shape[1] - 0.5, top, upright.shape[1], bottom)]
    middle = (top + bottom) // 2 if phrase == 0 else bottom
    halves = [(top, middle), (middle, bottom)]
    return [box(phrase, left, y1, right, y2) for y1, y2 in halves if y2 > y1]


def box(phrase: int, x1: float, y1: float, x2: float, y2: float) -> dict[str, Any]:
    return {"phrase": phrase, "x1": x1, "y1": y1, "x2": x2, "y2": y2, "score": 0.9 - 0.1 * phrase}


def store_images(run: SyntheticRun) -> None:
    (run.root / "source").mkdir()
    for number, data in enumerate(IMAGES):
        (run.root / "source" / str(number)).write_bytes(data)
