"""A small run with everything in it: images of coloured shapes, captions, phrases, noisy labels, gold, rejects."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco_masks

from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import Config
from schemas.records import DATASETS, make_key, part_name, schema_of
from stages.audit.stage import AuditStage
from stages.ingest.categories import SUMMARIES

COLOURS = {"red": "#d33", "green": "#393", "blue": "#36c", "yellow": "#db2", "violet": "#839"}
SHAPES = ("ball", "box", "kite", "plate")
ODD = "</script><script>document.title='owned'</script>"


def no_beat(done: int, total: int, message: str) -> None:
    pass


class SyntheticRun:
    """`rows[dataset]` holds what was written, as Python rows, for independent counting; `masks` the pixels of masks."""

    def __init__(self, root: Path, seed: int = 0, part_size: int = 40, **sections: Any) -> None:
        self.root = root
        self.random = random.Random(seed)
        self.part_size = part_size
        self.config = Config.model_validate({"run": str(root), "corpus": "shapes", **sections})
        self.storage = LocalStorage(str(root))
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def part(self, number: int) -> PartFiles:
        others = [path.name for path in self.root.glob("labels-*")]
        names = [*DATASETS, *others, "rejects/ingest", "rejects/label"]
        there = {name: "it is there" for name in names if self.storage.exists(f"{name}/{part_name(number)}")}
        if self.storage.exists(f"{SUMMARIES}/{part_name(number, 'json')}"):
            there[SUMMARIES] = "it is there"
        return PartFiles(self.storage, number, None, f"test-{number}", no_beat, there)

    def all_parts(self) -> RunFiles:
        parts = sorted({int(row["key"][:7]) for row in self.rows["pairs"]})
        return RunFiles(self.storage, parts, "test", no_beat)

    def write(self, dataset: str, part: int, rows: list[dict[str, Any]]) -> None:
        files = self.part(part)
        files.write(dataset, pa.Table.from_pylist(rows, schema=schema_of(dataset)))
        files.publish()
        self.rows.setdefault(dataset, []).extend(rows)

    def audit(self) -> dict[str, Any]:
        stage = AuditStage(self.config)
        for part in self.all_parts().parts():
            files = self.part(part)
            result = stage.run_part(files)
            assert result.counts.balanced
            files.publish()
        return stage.merge(self.all_parts())

    def fill(
        self, pairs: int, until: str = "pseudo", gold: bool = True, size: tuple[int, int] = (320, 240)
    ) -> SyntheticRun:
        """All datasets up to `until` (pairs, phrases, labels or pseudo)."""
        order = ("pairs", "phrases", "labels", "pseudo")
        for first in range(0, pairs, self.part_size):
            part = first // self.part_size
            made = [self._sample(part, row, size) for row in range(min(self.part_size, pairs - first))]
            rejected = [self._reject(part, row) for row in range(0, len(made), 17)]
            gone = {row["key"] for row in rejected}
            made = [sample for sample in made if sample["pairs"]["key"] not in gone]
            for dataset in order[: order.index(until) + 1]:
                self.write(dataset, part, [sample[dataset] for sample in made])
            if gold:
                self.write("gold", part, [sample["gold"] for sample in made])
            self.write("rejects/ingest", part, rejected)
            self.write("rejects/label", part, [])
        return self

    def mask(self) -> SyntheticRun:
        """masks: an ellipse in each box of pseudo; of every fifth box only its left quarter, of every seventh all."""
        self.masks: list[np.ndarray] = []
        for part in self.all_parts().parts():
            rows = [row for row in self.rows["pseudo"] if int(row["key"][:7]) == part]
            self.write("masks", part, [{"key": row["key"], "masks": self._masks(row)} for row in rows])
        return self

    def _masks(self, row: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for box in row["boxes"]:
            image = Image.new("1", (row["width"], row["height"]))
            x1, y1, x2, y2 = (int(box[name]) for name in ("x1", "y1", "x2", "y2"))
            number = len(self.masks)
            if number % 5 == 4:
                ImageDraw.Draw(image).rectangle((x1, y1, x1 + (x2 - x1) // 4, y2 - 1), fill=1)
            elif number % 7 == 6:
                ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), fill=1)
            else:
                ImageDraw.Draw(image).ellipse((x1, y1, x2 - 1, y2 - 1), fill=1)
            self.masks.append(np.asarray(image))
            counts = coco_masks.encode(np.asfortranarray(self.masks[-1].astype(np.uint8)))["counts"]
            found.append({"counts": counts, "height": row["height"], "width": row["width"], "score": 0.5})
        return found

    def _reject(self, part: int, row: int) -> dict[str, Any]:
        reason = self.random.choice(["truncated_image", "missing_caption"])
        return {"key": make_key(part, row), "source_id": str(row), "stage": "ingest", "reason": reason, "detail": ""}

    def _sample(self, part: int, row: int, size: tuple[int, int]) -> dict[str, dict[str, Any]]:
        key, rng = make_key(part, row), self.random
        image, draw = _canvas(size, rng)
        things = [self._thing(size, draw) for _ in range(rng.choice((1, 2, 2, 3, 5)))]
        caption, phrases = self._caption(things, row)
        gold = {"key": key, "spans": [{"start": p["start"], "end": p["end"]} for p in phrases[: len(things)]]}
        gold["boxes"] = [{"span": i, **thing["box"], "category": thing["shape"]} for i, thing in enumerate(things)]
        labels = self._labels(key, size, things, phrases)
        return {
            "pairs": self._pair(key, caption, image, size, row),
            "phrases": {"key": key, "caption": caption, "phrases": phrases, "dropped": self._dropped(row)},
            "labels": labels,
            "pseudo": self._pseudo(labels),
            "gold": gold,
        }

    def _thing(self, size: tuple[int, int], draw: ImageDraw.ImageDraw) -> dict[str, Any]:
        rng = self.random
        colour, shape = rng.choice(list(COLOURS)), rng.choices(SHAPES, weights=(8, 4, 2, 1))[0]
        width, height = rng.uniform(20, size[0] * 0.9), rng.uniform(20, size[1] * 0.9)
        x, y = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
        corners = [x, y, x + width, y + height]
        if shape == "ball":
            draw.ellipse(corners, fill=COLOURS[colour])
        elif shape == "kite":
            draw.polygon(
                [(x + width / 2, y), (x + width, y + height / 2), (x + width / 2, y + height), (x, y + height / 2)],
                fill=COLOURS[colour],
            )
        else:
            draw.rounded_rectangle(corners, 2 if shape == "box" else 24, fill=COLOURS[colour])
        return {"colour": colour, "shape": shape, "box": dict(zip(("x1", "y1", "x2", "y2"), corners))}

    def _caption(self, things: list[dict[str, Any]], row: int) -> tuple[str, list[dict[str, Any]]]:
        """A text and its phrases: one for each thing, then some of what is not in the image."""
        mentions = [(f"a {t['colour']} {t['shape']}", t["shape"], f"{t['colour']} {t['shape']}") for t in things]
        if row % 3 == 0:
            mentions.append(("the good old days", "days", "good old days"))
        if row % 5 == 0:
            mentions.append((f"Image {row}", "image", f"image {row}"))
        text, phrases = "😀 Photo: " if row % 4 == 0 else "", []
        for words, head, norm in mentions:
            start = len(text)
            text += words
            phrases.append({"start": start, "end": len(text), "text": words, "head": head, "norm": norm})
            text += ", "
        if row % 7 == 0:
            text += ODD
        if row % 11 == 0:
            text = f"{text}Красный мяч"
        return text, phrases if row % 13 else []

    def _labels(self, key: str, size: tuple[int, int], things: list[Any], phrases: list[Any]) -> dict[str, Any]:
        rng, boxes = self.random, []
        for phrase in range(len(phrases)):
            true = [things[phrase]["box"]] if phrase < len(things) else []
            for box in true + [None] * rng.choice((0, 0, 1, 2)):
                corners = _shifted(box, size, rng) if box else _anywhere(size, rng)
                score = rng.betavariate(6, 2) if box else 0.1 + 0.9 * rng.betavariate(1, 5)
                boxes.append({"phrase": phrase, **corners, "score": max(score, 0.1)})
        dropped = [{"phrase": len(phrases) - 1, "reason": "over_token_limit"}] if len(phrases) > 4 else []
        boxes = [b for b in boxes if not dropped or b["phrase"] != len(phrases) - 1]
        return {"key": key, "width": size[0], "height": size[1], "boxes": _as_stored(boxes), "dropped": dropped}

    def _pseudo(self, labels: dict[str, Any]) -> dict[str, Any]:
        least = self.config.filter.min_score
        kept = [b for b in labels["boxes"] if b["score"] > least]
        low = [{"box": i, "reason": "low_score"} for i, b in enumerate(labels["boxes"]) if b["score"] <= least]
        return {**labels, "boxes": kept, "dropped": low}

    def _pair(self, key: str, caption: str, image: Image.Image, size: tuple[int, int], row: int) -> dict[str, Any]:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=85)
        data = buffer.getvalue()
        path = self.root / "images" / f"{key}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {
            "key": key,
            "source_id": f"shape {row}",
            "caption": caption,
            "image": {"uri": f"images/{key}.jpg", "offset": -1, "length": len(data)} if row % 19 != 18 else None,
            "width": size[0],
            "height": size[1],
            "orientation": 1,
            "sha256": hashlib.sha256(data).hexdigest(),
            "license": "CC0",
            "url": "",
        }

    def _dropped(self, row: int) -> list[dict[str, Any]]:
        return [{"start": 0, "end": 0, "reason": "not_english"}] if row % 13 == 0 else []


def _canvas(size: tuple[int, int], rng: random.Random) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, tuple(rng.randint(200, 240) for _ in range(3)))
    return image, ImageDraw.Draw(image)


def _shifted(box: dict[str, float], size: tuple[int, int], rng: random.Random) -> dict[str, float]:
    dx, dy = rng.gauss(0, 6), rng.gauss(0, 6)
    return _clipped(box["x1"] + dx, box["y1"] + dy, box["x2"] + dx, box["y2"] + dy, size)


def _anywhere(size: tuple[int, int], rng: random.Random) -> dict[str, float]:
    x, y = rng.uniform(0, size[0] - 30), rng.uniform(0, size[1] - 30)
    if rng.random() < 0.05:
        return _clipped(0, 0, *size, size)
    return _clipped(x, y, x + rng.uniform(5, size[0]), y + rng.uniform(5, size[1]), size)


def _clipped(x1: float, y1: float, x2: float, y2: float, size: tuple[int, int]) -> dict[str, float]:
    return {"x1": max(x1, 0.0), "y1": max(y1, 0.0), "x2": min(x2, size[0]), "y2": min(y2, size[1])}


def _as_stored(boxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With the float32 values that a reader of the parts sees."""
    listed = pa.array([boxes], schema_of("labels").field("boxes").type)
    stored: list[dict[str, Any]] = listed.to_pylist()[0]
    return stored


@pytest.fixture(scope="session")
def make_run() -> type[SyntheticRun]:
    return SyntheticRun


@pytest.fixture
def shapes(tmp_path: Path) -> Callable[..., SyntheticRun]:
    """A maker of runs below the test's own folder."""
    made: list[SyntheticRun] = []

    def make(**options: Any) -> SyntheticRun:
        made.append(SyntheticRun(tmp_path / f"run{len(made)}", **options))
        return made[-1]

    return make
