"""Do more threads of the training's loader (`train.loaders`) read a gold set faster?

    python -m benchmarks.loaders [--out benchmarks/results/loaders.json]

Images and boxes of coco-mini (../shared), resized for GLIP-T, as the batches of a training with detection prompts, and
nothing else: no network runs. One and more threads take turns, so that a machine whose speed drifts slows all of them;
a ratio is that of the medians. More threads than cores cannot help. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import ROOT, processor_name, publish
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.train.loader import prefetch
from stages.train.stage import make_batches

COCO = ROOT.parent / "shared" / "data" / "coco-mini"
VARIANT, BATCH = "glip-t", 8


def samples_per_second(files: RunFiles, threads: int, batches: int) -> float:
    gold = {"source": str(COCO / "instances.json"), "format": "coco", "images": str(COCO / "images")}
    train = {"variant": VARIANT, "gold": [gold], "pseudo": False, "batch_size": BATCH, "loaders": threads}
    _, maker = make_batches(files, Config.model_validate({"train": train}))
    started = time.perf_counter()
    done = sum(len(batch.examples) for batch in prefetch(maker.make, 0, batches, threads))
    return done / (time.perf_counter() - started)


def measure(threads: list[int], turns: int, batches: int) -> dict[str, dict[str, Any]]:
    """By the number of threads; a first turn warms up and does not count."""
    rates: dict[int, list[float]] = {number: [] for number in threads}
    with tempfile.TemporaryDirectory(prefix="phrasebox-bench-") as folder:
        files = RunFiles(open_storage(folder), [0], "bench", lambda *_: None)
        for turn in range(turns + 1):
            for number in threads:
                rate = samples_per_second(files, number, batches)
                rates[number] += [round(rate, 2)] * bool(turn)
    median = {number: statistics.median(own) for number, own in rates.items()}
    return {
        str(number): {"samples_per_second": own, "median": median[number], "ratio": median[number] / median[threads[0]]}
        for number, own in rates.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="the first one is what ratios are of")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20, help="of 8 samples")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    arguments = f"--threads {' '.join(map(str, options.threads))} --turns {options.turns} --batches {options.batches}"
    result = {
        "command": f"python -m benchmarks.loaders {arguments}",
        "what": f"{COCO.name}, {VARIANT}, batches of {BATCH}: samples a second by the number of threads",
        "threads": measure(options.threads, options.turns, options.batches),
        "device": processor_name(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "date": datetime.date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
