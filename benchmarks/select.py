"""What the host does for an image: selecting boxes, before and after all groups were taken at once, and all else.

    python -m benchmarks.select [--out benchmarks/results/select.json]

NMS: boxes of phrases that hardly overlap (spread), that lie around five objects a phrase (objects), as a detector's do,
and around one for each twenty (crowd). Post-processing: head outputs of one image at 800 x 1344, at the official
settings, with 4,300 candidates for 8 phrases on five levels. Before is benchmarks/select_baseline.py, and the results
are compared. The host's other work is measured on the photos of ../shared/data/coco-mini, where these are at hand. Each
figure is the fastest of --repeats calls, in one thread. With --device cuda, the selection of a batch on the device is
measured, too: how long the host launches it, and how long it takes.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import select_baseline
from benchmarks.host_work import best, host_work, scaled_decoding
from benchmarks.official_weights import SHARED
from benchmarks.record import processor_name, publish
from model.anchors import level_sizes
from model.outputs import Grounding, HeadOutput
from model.postprocess import rank
from model.selection import OFFICIAL, Candidates, Settings, select, select_on_device

PHOTOS = SHARED / "data" / "coco-mini"
CASES = ((8, 100), (40, 300), (80, 1000))  # phrases, candidates of each
KINDS = ("spread", "objects", "crowd")
IMAGE = (800, 1333)  # (h, w)
EVERYTHING = Settings(limit=10**9)  # only NMS takes boxes away
TOKENS, PHRASES = 16, [[1 + i] for i in range(8)]


def boxes_of(kind: str, phrases: int, count: int) -> Tensor:
    """(phrases, count, 4)."""
    random = np.random.default_rng(phrases)
    objects = {"spread": count, "objects": 5, "crowd": max(1, count // 20)}[kind]
    low, high = (40, 500) if kind == "objects" else (16, 128)
    sides = np.exp(random.uniform(np.log(low), np.log(high), (phrases, objects, 2)))
    corners = random.uniform(0, 1, (phrases, objects, 2)) * (np.array(IMAGE)[::-1] - sides)
    own = np.arange(count) if kind == "spread" else random.integers(0, objects, (phrases, count))
    own = np.broadcast_to(own, (phrases, count))[..., None]
    sides, corners = (np.take_along_axis(x, own, 1) for x in (sides, corners))
    if kind != "spread":  # as far from their object as boxes that a head regresses to it
        corners = corners + sides * random.normal(0, 0.08, sides.shape)
        sides = sides * np.exp(random.normal(0, 0.12, sides.shape))
    return torch.from_numpy(np.concatenate([corners, corners + sides], axis=2).astype(np.float32))


def candidates_of(kind: str, phrases: int, count: int) -> Candidates:
    """Of one image."""
    random = torch.Generator().manual_seed(count)
    boxes = boxes_of(kind, phrases, count).reshape(1, -1, 4)
    scores = torch.rand(1, phrases * count, generator=random)
    return Candidates(boxes, scores, torch.arange(phrases).repeat_interleave(count)[None])


def outputs_of(candidates: int) -> list[HeadOutput]:
    """Of one image at 800 x 1344, with so many pairs of a position and a phrase above the threshold, on all levels."""
    random = torch.Generator().manual_seed(0)
    outputs, left = [], candidates
    for level, (height, width) in enumerate(level_sizes(800, 1344)):
        places = height * width
        logits = torch.randn(1, places, TOKENS, generator=random) - 9
        count = left if level == 4 else min(OFFICIAL.per_level, left)
        left -= count
        chosen = torch.randperm(places * len(PHRASES), generator=random)[:count]
        logits[0, chosen // len(PHRASES), 1 + chosen % len(PHRASES)] = (torch.randn(count, generator=random) - 1).clamp(
            -2.9
        )
        regression = torch.randn(1, 4, height, width, generator=random) * 2
        outputs.append(HeadOutput(logits, regression, torch.randn(1, 1, height, width, generator=random)))
    return outputs


def compared(before: Sequence[Grounding], after: Sequence[Grounding]) -> None:
    """Raises AssertionError unless they are equal, in their order."""
    for one, other in zip(before, after, strict=True):
        for name in ("boxes", "scores", "phrase"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def both(candidates: Candidates, settings: Settings, repeats: int) -> dict[str, float]:
    """Milliseconds before and after, for one image, and how many boxes are left."""
    sizes = [IMAGE]
    found = select(candidates, sizes, settings)
    compared(select_baseline.select(candidates, sizes, settings), found)
    before = best(lambda: select_baseline.select(candidates, sizes, settings), max(1, repeats // 5))
    after = best(lambda: select(candidates, sizes, settings), repeats)
    return {"boxes": len(found[0].scores), "before_ms": before, "after_ms": after}


def postprocessing(candidates: int, repeats: int) -> dict[str, float]:
    outputs = outputs_of(candidates)
    ranked = rank(outputs, [PHRASES], OFFICIAL)
    ranking = best(lambda: rank(outputs, [PHRASES], OFFICIAL), repeats)
    figures = both(ranked, OFFICIAL, repeats)
    return {
        "candidates": int((ranked.scores >= 0).sum()),
        "boxes": figures["boxes"],
        "before_ms": round(ranking + figures["before_ms"], 3),
        "after_ms": round(ranking + figures["after_ms"], 3),
        "ranking_ms": ranking,
    }


def on_device(device: str, batch: int, phrases: int, repeats: int) -> dict[str, Any]:
    """A batch of images at GLIP-T's size, all levels filled, as `ground` selects from them."""
    settings = Settings(0.01, score_floor=0.1, limits_per_phrase=True)
    one = candidates_of("objects", phrases, 3000)
    candidates = Candidates(*(x.expand(batch, *x.shape[1:]).contiguous().to(device) for x in one))
    launching, lasting = [], []
    for _ in range(repeats + 3):
        torch.cuda.synchronize()
        start = time.perf_counter()
        found = select_on_device(candidates, [IMAGE] * batch, settings, phrases)
        launched = time.perf_counter()
        torch.cuda.synchronize()
        launching.append(launched - start)
        lasting.append(time.perf_counter() - start)
    return {
        "device": torch.cuda.get_device_name(),
        "batch_size": batch,
        "launching_ms": round(min(launching) * 1e3, 3),
        "whole_ms": round(min(lasting) * 1e3, 3),
        "certain": float(found.certain.float().mean()),
    }


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--cases", type=int, default=len(CASES), help="how many sizes of NMS, smallest first")
    parser.add_argument("--photos", type=int, default=48)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "what": "milliseconds of a core for an image: NMS of phrases x candidates, post-processing, all else",
        "command": f"python -m benchmarks.select --repeats {options.repeats} --photos {options.photos}",
        "nms": {
            kind: {
                f"{phrases} x {count}": both(candidates_of(kind, phrases, count), EVERYTHING, options.repeats)
                for phrases, count in CASES[: options.cases]
            }
            for kind in KINDS
        },
        "postprocess": postprocessing(4300, options.repeats),
    }
    if PHOTOS.is_dir() and options.photos:
        result["host"] = host_work(PHOTOS, options.photos, max(1, options.repeats // 5))
        result["scaled_decoding"] = scaled_decoding(PHOTOS, max(1, options.photos // 4))
    if options.device != "cpu":
        result["on_device"] = {f"{k} phrases": on_device(options.device, 16, k, options.repeats) for k in (8, 40)}
    result["device"] = f"{processor_name()}, one thread"
    result["versions"] = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    publish(result | {"date": date.today().isoformat()}, options.out)


if __name__ == "__main__":
    main()
