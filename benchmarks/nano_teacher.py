"""Precision and recall of the packaged glip-nano on held-out scenes, by the labels that the engine would keep.

    python -m benchmarks.nano_teacher [--count 1000] [--out benchmarks/results/nano_teacher.json]

Phrases: those that the default extractor finds in the caption. Labels: the teacher's boxes with score > 0.5. What is a
right box, what is a gold box, which nouns count as seen: the "protocol" field of the result says it in words. Beside
it, the same with the gold spans as phrases, which takes the extractor out of the measurement.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import packaged_weights, sha256
from model.scheduler import Scheduler
from model.teachers import open_teacher
from schemas.config import LabelConfig
from stages import agreement
from stages.evaluate import scenes
from stages.evaluate.tally import Tally
from stages.images import decode_rgb
from stages.phrases import NounPhrase, NounPhraseExtractor
from stages.synthetic import NOUNS


class GoldSpans:
    """Stands for the extractor: the phrases are the scenes' own spans."""

    def __init__(self, spans: dict[str, list[tuple[int, int]]]) -> None:
        self.spans = spans

    def extract(self, captions: list[str]) -> list[list[NounPhrase]]:
        return [
            [NounPhrase(start, end, caption[start:end], "", "") for start, end in self.spans[caption]]
            for caption in captions
        ]


def measure(model: Scheduler, count: int, seed: int, split: str = scenes.SPLIT) -> dict[str, Any]:
    """{"extracted" | "gold_spans": {tier: figures at 0.5, curve, calibration}}."""
    tier = {noun.name: noun.tier for noun in NOUNS}
    names = ("all", "seen", *scenes.TIERS)
    tallies = {kind: {name: Tally() for name in names} for kind in ("extracted", "gold_spans")}
    extractor = NounPhraseExtractor("auto")
    for chunk in scenes.chunks(split, seed, count):
        images = [decode_rgb(scene.jpeg, 10_000_000) for scene in chunk]
        spans = GoldSpans({scene.caption: scene.spans for scene in chunk})
        scenes.judge_scenes(model, extractor, chunk, images, tier, tallies["extracted"])
        scenes.judge_scenes(model, spans, chunk, images, tier, tallies["gold_spans"])
    return {
        kind: {
            name: {"at": tally.at(0.5), "curve": tally.curve(), "calibration": tally.calibration()}
            for name, tally in own.items()
        }
        for kind, own in tallies.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="held-out scenes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=None, help="other weights than the packaged ones")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)
    weights = options.weights or packaged_weights("glip-nano")
    teacher = open_teacher(LabelConfig(teacher="glip-nano", weights=str(weights), device="cpu"))
    started = time.monotonic()
    result = {
        "what": "labels of glip-nano above 0.5 on held-out scenes",
        "command": f"python -m benchmarks.nano_teacher --count {options.count} --seed {options.seed}",
        "weights_sha256": sha256(weights),
        "seed": options.seed,
        "protocol": {
            "nouns": " ".join((scenes.__doc__ or "").split()),
            "matching": " ".join((agreement.__doc__ or "").split()),
        },
        "pictures": options.count,
        **measure(Scheduler(teacher), options.count, options.seed),
        "seconds": round(time.monotonic() - started, 1),
        "device": f"cpu ({platform.machine()}, 1 thread)",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
    }
    text = json.dumps(result, indent=1) + "\n"
    if options.out:
        options.out.write_text(text)
    for kind in ("extracted", "gold_spans"):
        at = result[kind]["seen"]["at"]
        sys.stdout.write(f"{kind}: precision {at['precision']:.3f}, recall {at['recall']:.3f} of {at['gold']} boxes\n")


if __name__ == "__main__":
    main()
