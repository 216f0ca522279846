"""How many loader threads (`train.loaders`) eight ranks of a machine need so that no GPU waits for its images.

    python -m benchmarks.loader_ranks [--out benchmarks/results/loader_ranks.json]

Measured here, on one core: how long each image of coco-mini (../shared) takes to be read, decoded, resized for GLIP-T
and given a detection prompt, and how much of it is decoding and resizing. Computed: how long a GPU takes for its share
of a step, from the FLOPs of benchmarks/results/teacher_flops.json at --mfu of an H100's peak, with activation
checkpointing. Simulated: --ranks ranks on a machine with --cores cores as `stages/train/loader.py` works, each thread
with one share at a time and so many shares ahead. Ranks wait for each other at every step, and threads share the cores
evenly. What holds Python's lock, as a share of the work, follows from benchmarks/results/loaders.json; a rank's threads
do it one at a time. Where that alone is fast enough for a GPU, threads will do, and processes are not needed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.loaders import BATCH, COCO, VARIANT
from benchmarks.record import ROOT, processor_name, publish
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.train.flops import BACKWARD, PEAKS
from stages.train.forecast import RECOMPUTING
from stages.train.loader import AHEAD
from stages.train.stage import make_batches
from stages.train.transforms import decode

FLOPS = ROOT / "benchmarks" / "results" / "teacher_flops.json"
THREADS = ROOT / "benchmarks" / "results" / "loaders.json"
TOKENS = "64"
DEVICE = "H100"


def measure(samples: int) -> tuple[list[float], list[float]]:
    """Seconds of each sample, on one core: as a whole, and decoding and resizing alone."""
    gold = {"source": str(COCO / "instances.json"), "format": "coco", "images": str(COCO / "images")}
    config = Config.model_validate({"train": {"variant": VARIANT, "gold": [gold], "pseudo": False, "batch_size": 1}})
    with tempfile.TemporaryDirectory(prefix="phrasebox-bench-") as folder:
        sets, maker = make_batches(RunFiles(open_storage(folder), [0], "bench", lambda *_: None), config)
        (gold_set,) = sets.values()
        maker.make(0)  # warms up
        whole, images = [], []
        for step in range(1, samples + 1):
            started = time.perf_counter()
            maker.make(step)
            whole.append(time.perf_counter() - started)
            sample = gold_set.sample(step % len(gold_set))
            started = time.perf_counter()
            decode(sample, config.ingest.max_pixels, maker.sides)
            images.append(time.perf_counter() - started)
    return whole, images


def locked_share(threads: Path) -> float:
    """The share of the work that one thread at a time can do, from the gain of the second thread (Amdahl's law)."""
    gain: float = json.loads(threads.read_text())["threads"]["2"]["ratio"]
    return max(0.0, 2 / gain - 1)


def step_seconds(images: int, mfu: float) -> float:
    """Of a GPU, for its share of a step."""
    forward = 1e9 * json.loads(FLOPS.read_text())["folded"][VARIANT][TOKENS]["total"]
    return images * forward * BACKWARD * RECOMPUTING / (1e12 * PEAKS[DEVICE][1] * mfu)


class Rank:
    """The loader of one rank: shares that are being made, in order, and how many are there in advance."""

    def __init__(
        self, threads: int, locked: float, work: np.random.Generator, seconds: list[float], images: int
    ) -> None:
        self.threads, self.locked, self.rng, self.seconds, self.images = threads, locked, work, seconds, images
        self.left: dict[int, float] = {}  # by step, the seconds of a core that a share still takes
        self.done: set[int] = set()
        self.taken = 0  # shares that the GPU has had
        self.begun = 0

    def begin(self) -> None:
        """Every free thread takes the next share, as far as the loader works ahead."""
        while len(self.left) < self.threads and self.begun < self.taken + AHEAD + self.threads:
            self.left[self.begun] = float(self.rng.choice(self.seconds, self.images).sum())
            self.begun += 1

    def speed(self) -> float:
        """Of each thread, on cores of their own: beside others it waits for Python's lock."""
        return 1 / ((1 - self.locked) + self.locked * len(self.left))

    def work(self, seconds: float) -> None:
        for step in list(self.left):
            self.left[step] -= seconds
            if self.left[step] <= 1e-12:
                del self.left[step]
                self.done.add(step)


def simulate(
    seconds: list[float],
    step: float,
    ranks: int,
    cores: int,
    threads: int,
    images: int,
    locked: float,
    steps: int = 200,
) -> float:
    """The share of the time in which the GPUs wait for images, after as many steps to begin with."""
    rng = np.random.default_rng(0)
    every = [Rank(threads, locked, rng, seconds, images) for _ in range(ranks)]
    now, waited, busy_until, started = 0.0, 0.0, 0.0, 0.0
    for number in range(2 * steps):
        if number == steps:
            waited, started = 0.0, now
        while now < busy_until - 1e-12 or not all(number in rank.done for rank in every):
            for rank in every:
                rank.begin()
            active = sum(len(rank.left) for rank in every)
            share = min(1.0, cores / active) if active else 1.0
            speeds = [share * rank.speed() for rank in every]
            ends = [min(rank.left.values()) / speed for rank, speed in zip(every, speeds, strict=True) if rank.left]
            if now < busy_until - 1e-12:
                ends.append(busy_until - now)
            else:
                waited += min(ends)
            for rank, speed in zip(every, speeds, strict=True):
                rank.work(min(ends) * speed)
            now += min(ends)
        for rank in every:
            rank.taken += 1
        busy_until = now + step
    return waited / (now - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--cores", type=int, nargs="+", default=[16, 32, 64, 128], help="of the machine")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 3, 4, 8], help="of each rank")
    parser.add_argument("--mfu", type=float, default=0.3)
    parser.add_argument("--samples", type=int, default=200, help="that are measured")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    publish(record(options), options.out)


def record(options: argparse.Namespace) -> dict[str, Any]:
    (seconds, images), locked, step = measure(options.samples), locked_share(THREADS), step_seconds(BATCH, options.mfu)
    rate, demand = len(seconds) / sum(seconds), BATCH / step
    waits = {
        str(cores): {
            str(threads): round(simulate(seconds, step, options.ranks, cores, threads, BATCH, locked), 4)
            for threads in options.threads
        }
        for cores in options.cores
    }
    return {
        "command": f"python -m benchmarks.loader_ranks --ranks {options.ranks} --mfu {options.mfu}",
        "what": f"{options.ranks} ranks of {VARIANT}, {BATCH} images each: share of the time that GPUs wait for images,"
        " by cores of the machine and threads of each rank",
        "samples_per_second_and_core": round(rate, 1),
        "decode_and_resize_ms": round(1000 * sum(images) / len(images), 2),
        "locked_share": round(locked, 4),
        "step_seconds": round(step, 4),
        "samples_per_second_of_a_gpu": round(demand, 1),
        "samples_per_second_of_many_threads": round(rate / locked, 1) if locked else None,
        "cores_kept_busy": round(options.ranks * demand / rate, 1),
        "threads_will_do": rate > demand * locked,
        "data_wait_share": waits,
        "device": processor_name(),
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "date": datetime.date.today().isoformat(),
    }


if __name__ == "__main__":
    main()
