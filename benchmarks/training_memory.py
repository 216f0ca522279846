"""Memory of a training step at 800 x 1344 pixels in bf16, by tokens of text, with and without activation checkpointing.

    python -m benchmarks.training_memory [--out benchmarks/results/training_memory.json]

Counted on fake tensors: what the network keeps for the backward pass, for each image and for the whole batch (weights
that were cast to bf16), and what a GPU then needs for its eight images of a batch of 64, beside weights, gradients and
optimiser. Measured on real tensors, for --measure, on the CPU: the same for one image; and how far the memory of a
process rises above that of the weights in a step with losses and backward pass, gradients included. Real steps of
GLIP-T take some minutes and up to 14 GB, none of which depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import ROOT, processor_name, publish
from model.glip import Glip
from model.prompt import encode
from model.variants import get_variant
from stages.train.memory import CountedNetwork, kept_bytes

TOKENS = (64, 256)
IMAGES = 8  # of a GPU: a batch of 64 on eight
GB = 1e9


def count(variant: str, height: int, width: int) -> dict[str, Any]:
    """By tokens: GB of each image, and of the batch, and of a GPU with IMAGES, with and without checkpointing."""
    network = CountedNetwork(variant, get_variant(variant).published, "bf16")
    weights = network.weights_bytes(ema=True)
    found: dict[str, Any] = {"weights_gradients_optimiser_average_gb": in_gb(weights)}
    for tokens in TOKENS:
        for checkpointing in (False, True):
            one, two, many = (
                network.activations_bytes(images, height, width, tokens, checkpointing) for images in (1, 2, IMAGES)
            )
            found.setdefault(str(tokens), {})[name_of(checkpointing)] = {
                "of_an_image_gb": in_gb(two - one),
                "of_the_batch_gb": in_gb(2 * one - two),
                f"gpu_with_{IMAGES}_gb": in_gb(many + weights),
            }
    return found


def measure(variant: str, height: int, width: int) -> dict[str, Any]:
    """The same of one image on real tensors, each in a process of its own."""
    found: dict[str, Any] = {}
    for tokens in TOKENS:
        for checkpointing in (False, True):
            words = [variant, str(height), str(width), str(tokens), str(int(checkpointing))]
            command = [sys.executable, "-m", "benchmarks.training_memory", "--child", *words]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            if done.returncode:
                row = {"failed": f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or ['killed'])[-1]}"}
            else:
                row = json.loads(done.stdout)
            found.setdefault(str(tokens), {})[name_of(checkpointing)] = row
            sys.stderr.write(f"{variant}, {tokens} tokens, {name_of(checkpointing)}: {row}\n")
    return found


def step(variant: str, height: int, width: int, tokens: int, checkpointing: bool) -> dict[str, float]:
    """Of one blank image and a caption of that many tokens, here."""
    glip = Glip.from_variant(variant, 0, get_variant(variant).published)
    glip.precision = "bf16"
    glip.use_checkpointing(checkpointing)
    caption = caption_of(tokens)
    target = {"boxes": [[width / 4, height / 4, width / 2, height / 2]], "phrase": [0]}
    before = restart_peak()
    images = [np.zeros((height, width, 3), np.uint8)]
    losses = glip.losses(images, [caption], [[[(0, 3)]]], [target], resize_to=None)
    torch.stack(list(losses.values())).sum().backward()
    peak = memory("VmHWM") - before
    del losses
    kept, _ = kept_bytes(glip, 1, height, width, tokens)
    return {"kept_gb": in_gb(kept), "peak_gb": in_gb(peak)}


def caption_of(tokens: int) -> str:
    """With the two that every text has."""
    caption = " ".join(["cat"] * (tokens - 2))
    assert len(encode(caption)) == tokens
    return caption


def restart_peak() -> int:
    """Bytes of this process now; its peak counts from here on."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(name: str) -> int:
    """Bytes, as Linux counts them for this process."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def in_gb(size: float) -> float:
    return round(size / GB, 3)


def name_of(checkpointing: bool) -> str:
    return "checkpointing" if checkpointing else "plain"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="*", default=["glip-t", "glip-l"], help="that are counted")
    parser.add_argument("--measure", nargs="*", default=["glip-t"], help="of these, on real tensors, too")
    parser.add_argument("--size", type=int, nargs=2, default=(800, 1344), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        variant, height, width, tokens, checkpointing = options.child
        sys.stdout.write(json.dumps(step(variant, int(height), int(width), int(tokens), checkpointing == "1")))
        return
    height, width = options.size
    result = {
        "command": "python -m benchmarks.training_memory",
        "what": f"GB of a training step at {height} x {width}, bf16, by tokens of text; counted on fake tensors, and"
        " measured with one image on real ones",
        "counted": {variant: count(variant, height, width) for variant in options.variants},
        "measured": {variant: measure(variant, height, width) for variant in options.measure},
        "device": processor_name(),
        "versions": {"torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
