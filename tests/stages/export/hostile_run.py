"""A run whose captions look like what vision-language models read: special tokens, boxes, JSON; and odd images."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.stages.audit_run import SyntheticRun

Corners = tuple[float, float, float, float]

TOKENS = "<loc0001><loc0002><loc0003><loc0004> <loc_5> <patch_index_0001> <image> </s> <|im_end|>"
BOXES = '[0.100,0.200,0.300,0.400] [10, 20, 30, 40] {"bbox_2d": [1, 2, 3, 4], "label": "x"}'

# Size of the image, caption, its phrases, and their boxes.
SAMPLES: list[tuple[tuple[int, int], str, list[tuple[str, list[Corners]]]]] = [
    (
        (320, 240),
        "a dog near two cats",
        [("a dog", [(10.5, 20, 30, 200)]), ("two cats", [(0, 0, 9, 9), (50, 60, 320, 240)])],
    ),
    (
        (320, 240),
        f"{TOKENS} a dog <box> a cat {BOXES}",
        [("a dog", [(0, 0, 320, 240)]), ("a cat", [(319.5, 239.5, 320, 240)])],
    ),
    (
        (300, 200),
        "  <phrase>a <b>bold</b> dog\n a;\u2028cat\x85 ",
        [("a <b>bold</b> dog", [(3, 4, 5, 6)]), ("a;\u2028cat", [(1, 1, 99, 99)])],
    ),
    ((20, 17), "a tiny dog", [("a tiny dog", [(0, 0, 20, 17), (3.25, 4.75, 9, 11)])]),
    (
        (1999, 1501),
        "a man; a Man",
        [("a man", [(100, 100, 500, 900)]), ("a Man", [(100, 100, 500, 900), (700, 3, 900, 1400)])],
    ),
    ((640, 480), "a dog in a field", [("a dog in a field", [(5, 5, 600, 400)]), ("a field", [(0, 200, 640, 480)])]),
    ((640, 480), "nothing to see", [("nothing", [])]),
    ((60, 13000), "a long rope", [("a long rope", [(0, 0, 60, 13000)])]),
]


@dataclass(frozen=True)
class Truth:
    """A pair with its boxes, and each with the text of its phrase as the caption has it."""

    key: str
    size: tuple[int, int]
    caption: str
    boxes: list[tuple[str, Corners]]


def truths() -> Iterator[Truth]:
    """What an export must hold: every pair with boxes."""
    for number, (size, caption, phrases) in enumerate(SAMPLES):
        boxes = [(text, box) for text, own in phrases for box in own]
        if boxes:
            yield Truth(f"{number:012d}", size, caption, boxes)


def hostile_run(folder: Path) -> SyntheticRun:
    run = SyntheticRun(folder, ingest={"source": "somewhere"}, label={"teacher": "glip-nano"})
    (folder / "source").mkdir(parents=True)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in ("pairs", "phrases", "labels", "pseudo")}
    for number, (size, caption, phrases) in enumerate(SAMPLES):
        key = {"key": f"{number:012d}"}
        sides = {"width": size[0], "height": size[1]}
        data = png(size, number)
        (folder / "source" / str(number)).write_bytes(data)
        boxes = [placed(i, box) for i, (_, own) in enumerate(phrases) for box in own]
        tables["pairs"].append(pair(number, caption, data) | sides)
        spans = [span(caption, text) for text, _ in phrases]
        tables["phrases"].append({**key, "caption": caption, "phrases": spans, "dropped": []})
        tables["labels"].append({**key, **sides, "boxes": boxes, "dropped": []})
        tables["pseudo"].append({**key, **sides, "boxes": boxes, "dropped": []})
    for dataset, rows in tables.items():
        run.write(dataset, 0, rows)
    return run


def png(size: tuple[int, int], number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number, 99, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def pair(number: int, caption: str, data: bytes) -> dict[str, Any]:
    return {
        "key": f"{number:012d}",
        "source_id": f"web/{number}",
        "caption": caption,
        "image": {"uri": f"source/{number}", "offset": -1, "length": -1},
        "orientation": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "license": "CC0" if number % 2 else None,
    }


def span(caption: str, text: str) -> dict[str, Any]:
    start = caption.index(text)
    words = text.split()
    return {"start": start, "end": start + len(text), "text": text, "head": words[-1].lower(), "norm": text.lower()}


def placed(phrase: int, box: Corners) -> dict[str, Any]:
    return {"phrase": phrase, **dict(zip(("x1", "y1", "x2", "y2"), box)), "score": 0.75}


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The lines of conversations.jsonl, also for readers to whom U+2028 ends a line."""
    return [json.loads(line) for line in (folder / "conversations.jsonl").read_text("utf-8").splitlines()]


def turns(rows: list[dict[str, Any]], key: str, task: str) -> list[tuple[str, str]]:
    """Question and answer of each row of a pair's task."""
    own = [row["conversations"] for row in rows if row["id"] == key and row["task"] == task]
    assert all([turn["from"] for turn in pair] == ["human", "gpt"] for pair in own)
    return [(pair[0]["value"], pair[1]["value"]) for pair in own]
