"""What the host does for an image beside selecting boxes: measured for benchmarks/select.py.

Of this, only the copy into a batch was changed for speed: it has a figure before (benchmarks/select_baseline.py), too.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import select_baseline
from model.images import Size, normalise, resize, resized_size, stack
from model.outputs import Grounding
from model.postprocess import phrase_weights
from model.prompt import caption_prompts, pad
from model.teacher import Span
from schemas.rows import ImageRef
from stages.images import decode_rgb
from stages.label.rows import Row, label_table

SIDES = (800, 1333)  # of GLIP-T
BATCH = 16
MAX_PIXELS = 10**8


def best(work: Callable[[], Any], repeats: int, clock: Callable[[], float] = time.process_time) -> float:
    """Milliseconds of the fastest of some calls: by default of a core, whatever else the machine does."""
    work()
    times = []
    for _ in range(repeats):
        start = clock()
        work()
        times.append(clock() - start)
    return round(min(times) * 1e3, 3)


def host_work(photos: Path, count: int, repeats: int) -> dict[str, Any]:
    """Milliseconds an image, of `count` COCO photos at GLIP-T's size, and of their captions, in one thread."""
    coco = json.loads((photos / "captions.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    captions = {entry["image_id"]: entry["caption"] for entry in coco["annotations"]}
    chosen = sorted(captions)[:count]
    files = [(photos / "images" / names[number]).read_bytes() for number in chosen]
    images = [decode_rgb(data, MAX_PIXELS) for data in files]
    sizes = [resized_size(image.shape, SIDES) for image in images]
    resized = [resize(image, size) for image, size in zip(images, sizes, strict=True)]
    groups = [resized[start : start + BATCH] for start in range(0, count, BATCH)]
    for own in groups:
        assert torch.equal(stack(own), select_baseline.stack(own))
    texts = [captions[number] for number in chosen]
    spans = [words(text) for text in texts]
    prompts = [caption_prompts(text, own).prompts[0] for text, own in zip(texts, spans, strict=True)]
    batches = [prompts[start : start + BATCH] for start in range(0, count, BATCH)]
    rows = [row_of(text, image.shape[:2]) for text, image in zip(texts, images, strict=True)]
    found = {number: some_boxes(number, len(own)) for number, own in enumerate(spans)}
    work: dict[str, Callable[[], Any]] = {
        "sha256": lambda: [hashlib.sha256(data).hexdigest() for data in files],
        "decode": lambda: [decode_rgb(data, MAX_PIXELS) for data in files],
        "resize": lambda: [resize(image, size) for image, size in zip(images, sizes, strict=True)],
        "batch of uint8": lambda: [stack(own) for own in groups],
        "batch of uint8, before": lambda: [select_baseline.stack(own) for own in groups],
        "prompt": lambda: [caption_prompts(text, own) for text, own in zip(texts, spans, strict=True)],
        "prompts of a batch": lambda: [pad([own.ids for own in batch]) for batch in batches],
        "token maps": lambda: [phrase_weights([own.tokens for own in batch], 64) for batch in batches],
        "label rows": lambda: label_table(rows, found),
    }
    figures: dict[str, Any] = {name: round(best(own, repeats) / count, 4) for name, own in work.items()}
    with ThreadPoolExecutor(2) as pool:
        both = best(lambda: list(pool.map(prepared, files)), repeats, time.perf_counter)
    return {**figures, "decode and resize, two threads, by the clock": round(both / count, 4)}


def words(text: str) -> list[list[Span]]:
    """The first eight words as phrases."""
    spans, start = [], 0
    for word in text.split()[:8]:
        start = text.index(word, start)
        spans.append([(start, start + len(word))])
        start += len(word)
    return spans


def row_of(caption: str, size: Size) -> Row:
    return Row("000000000000", "photo", caption, [], ImageRef("photo.jpg", -1, -1), size, "")


def some_boxes(seed: int, phrases: int) -> Grounding:
    """A hundred boxes, the labels of an image."""
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(100, generator=random).sort(descending=True).values
    return Grounding(torch.rand(100, 4, generator=random), scores, torch.randint(phrases, (100,), generator=random))


def prepared(data: bytes) -> np.ndarray:
    image = decode_rgb(data, MAX_PIXELS)
    return resize(image, resized_size(image.shape, SIDES))


def scaled_decoding(photos: Path, count: int) -> dict[str, Any]:
    """Decoding JPEGs of twice the size to half of it, as their format allows, beside decoding them whole: how far
    pixels of the resized images are apart, in eight bits, and what the network sees of it, in deviations of a pixel."""
    differences, times = [], {"whole": 0.0, "scaled": 0.0}
    for path in sorted((photos / "images").glob("*.jpg"))[:count]:
        image = Image.open(path).convert("RGB")
        buffer = io.BytesIO()
        large = image.resize((image.width * 4, image.height * 4), Image.Resampling.BICUBIC)
        large.save(buffer, "JPEG", quality=90)
        height, width = resized_size((large.height, large.width), SIDES)
        results = {}
        for name in times:
            start = time.perf_counter()
            opened = Image.open(io.BytesIO(buffer.getvalue()))
            if name == "scaled":
                opened.draft("RGB", (width, height))  # no smaller than that
            results[name] = np.asarray(opened.resize((width, height), Image.Resampling.BILINEAR))
            times[name] += (time.perf_counter() - start) * 1e3 / count
        both = normalise(stack([results["whole"], results["scaled"]]), [(height, width)] * 2)
        apart = np.abs(results["whole"].astype(int) - results["scaled"])
        differences.append((float((apart > 0).mean()), int(apart.max()), float((both[0] - both[1]).abs().mean())))
    share, largest, mean = zip(*differences, strict=True)
    return {
        "share_of_values_that_differ": round(float(np.mean(share)), 3),
        "largest_difference": max(largest),
        "mean_difference_in_deviations": round(float(np.mean(mean)), 4),
        "whole_ms": round(times["whole"], 2),
        "scaled_ms": round(times["scaled"], 2),
    }
