"""How full batches get when only images of equal padded shape share one, on the 208 COCO photos of ../shared/data.

    python -m benchmarks.teacher_buckets [--out benchmarks/results/teacher_buckets.json]

`buckets`: what the label stage does (`model.scheduler.bucketed`), an image waiting for at most `hold` later ones until
its batch is full. `windows`: so many images at a time are put into buckets and all of them run before the next ones
come. `sorted`: windows sorted by aspect ratio, cut into full batches and padded to their largest image; fuller, but a
image's boxes then depend on its neighbours. fill: images over batches x batch size. padded_pixels: share of the
pixels computed that are padding. `photos`: the 208 in order of their files; `corpus`: 10,000 drawn from them with
replacement (seed 0), a part of the default size.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.official_weights import SHARED
from benchmarks.record import publish
from model.images import Size, padded_size, resized_size
from model.scheduler import bucketed

SIDES = (800, 1333)
FOLDERS = ("coco-mini", "coco128")


def photo_sizes() -> list[Size]:
    """(h, w) of every photo once resized, in the order of the files."""
    sizes = []
    for folder in FOLDERS:
        coco = json.loads((SHARED / "data" / folder / "instances.json").read_text())
        sizes += [resized_size((image["height"], image["width"]), SIDES) for image in coco["images"]]
    return sizes


def in_windows(sizes: Sequence[Size], batch_size: int, window: int) -> list[list[Size]]:
    """Buckets that are emptied after every window."""
    batches = []
    for start in range(0, len(sizes), window):
        batches += bucketed(sizes[start : start + window], padded_size, batch_size, window)
    return batches


def by_aspect(sizes: Sequence[Size], batch_size: int, window: int) -> list[list[Size]]:
    """Full batches of neighbours in aspect ratio."""
    batches = []
    for start in range(0, len(sizes), window):
        own = sorted(sizes[start : start + window], key=lambda size: size[1] / size[0])
        batches += [own[i : i + batch_size] for i in range(0, len(own), batch_size)]
    return batches


def figures(made: Iterable[Sequence[Size]], batch_size: int) -> dict[str, Any]:
    """Fill, padding and number of batches."""
    batches = list(made)
    images = sum(len(batch) for batch in batches)
    computed = sum(len(batch) * np.prod(padded_size(tuple(np.max(batch, axis=0)))) for batch in batches)
    real = sum(height * width for batch in batches for height, width in batch)
    return {
        "batches": len(batches),
        "fill": round(images / (len(batches) * batch_size), 3),
        "padded_pixels": round(1 - float(real / computed), 4),
    }


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    sizes = photo_sizes()
    drawn = [sizes[i] for i in np.random.default_rng(0).integers(0, len(sizes), 10_000)]
    result: dict[str, Any] = {
        "what": "fill of batches of equal padded shape",
        "command": "python -m benchmarks.teacher_buckets",
        "protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        "photos": len(sizes),
        "shapes": len({padded_size(size) for size in sizes}),
    }
    for name, own, holds in (("photos", sizes, (64, 208)), ("corpus", drawn, (256, 1024, 2048, 4096))):
        result[name] = [
            {
                "batch_size": size,
                "hold": hold,
                "buckets": figures(bucketed(own, padded_size, size, hold), size),
                "windows": figures(in_windows(own, size, hold), size),
                "sorted": figures(by_aspect(own, size, hold), size),
            }
            for size in (8, 16, 32)
            for hold in holds
        ]
    publish({**result, "date": date.today().isoformat()}, options.out)


if __name__ == "__main__":
    main()
