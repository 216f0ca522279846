"""Rates of the rescore stage's models at their published size, with random weights, beside the library's own way.

    python -m benchmarks.rescore --out benchmarks/results/rescore.json      # CPU; --device cuda for a GPU

For each family: crops in a second, from pixels to vectors, as the stage has them (prepared in one thread, `--batch` at
a time) and through transformers' image processor and model at the same batch size; texts in a second. Both sides run in
turn on the same crops; medians are kept, with the lowest and the highest rate. CLIP is ViT-B/32, SigLIP and SigLIP 2
(NaFlex, 256 patches) are B/16.
"""

from __future__ import annotations

import argparse
import statistics
import string
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.record import command_line, processor_name, publish
from model.similarity.network import Similarity

PREFIXES = {"clip": "CLIP", "siglip": "Siglip", "siglip2": "Siglip2"}
LETTERS = string.ascii_lowercase + string.digits
WORDS = ("a", "red", "dog", "umbrella", "behind", "the", "old", "house", "two", "cups")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=list(PREFIXES), default=list(PREFIXES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="of the one family, in place of its published size")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rates = {}
    for family in given.families:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = given.checkpoint or save(family, Path(folder))
            model = Similarity(checkpoint, given.device, given.precision, given.batch)
            rates[family] = measure(model, processor_class(family).from_pretrained(checkpoint), given.rounds)
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else processor_name()
    versions = {package: version(package) for package in ("torch", "transformers")}
    settings: dict[str, Any] = {"command": command_line("benchmarks.rescore")}
    settings |= {"batch": given.batch, "precision": given.precision, "threads": given.threads, "rounds": given.rounds}
    about = {"device": name, "versions": versions, "date": datetime.now(UTC).date().isoformat()}
    publish({**settings, **about, "families": rates}, given.out)


def save(family: str, folder: Path) -> Path:
    """A checkpoint of the published size with random weights, and a tokenizer of letters."""
    torch.manual_seed(0)
    prefix = PREFIXES[family]
    getattr(transformers, f"{prefix}Model")(getattr(transformers, f"{prefix}Config")()).save_pretrained(folder)
    if family == "clip":
        pieces = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(letter + "</w>" for letter in LETTERS)]
    else:
        pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *LETTERS, "\u2581"]
    kind = transformers.CLIPTokenizer if family == "clip" else transformers.Siglip2Tokenizer
    kind(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[]).save_pretrained(folder)
    processor_class(family)().save_pretrained(folder)
    return folder


def processor_class(family: str) -> Any:
    return getattr(transformers, f"{PREFIXES[family]}ImageProcessorPil")


def measure(model: Similarity, processor: Any, rounds: int) -> dict[str, Any]:
    """Rates at the median of the rounds, of which a first one is a rehearsal; with the lowest and the highest."""
    crops = [drawn(number) for number in range(model.batch_size)]
    texts = [f"a {WORDS[i % 10]} {WORDS[i // 10 % 10]} {i}" for i in range(model.batch_size)]
    mine, theirs, of_texts = [], [], []
    for _ in range(rounds + 1):
        mine.append(timed(lambda: ours(model, crops)))
        theirs.append(timed(lambda: library(model, processor, crops)))
        of_texts.append(timed(lambda: model.text_vectors(texts)))
    names = ("crops_per_second", "library_crops_per_second", "texts_per_second")
    found: dict[str, Any] = {}
    for name, seconds in zip(names, (mine, theirs, of_texts), strict=True):
        found[name] = len(crops) / statistics.median(seconds[1:])
        found[f"{name}_range"] = [len(crops) / own(seconds[1:]) for own in (max, min)]
    return found


def ours(model: Similarity, crops: list[Any]) -> torch.Tensor:
    (vectors,) = model.image_vectors([[model.pixels.crop(crop) for crop in crops]])
    return vectors


@torch.inference_mode()
def library(model: Similarity, processor: Any, crops: list[Any]) -> torch.Tensor:
    """The same network, fed by the library's own processor."""
    inputs = processor(images=crops, return_tensors="pt").to(model.device)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=model.precision != "fp32"):
        found = model.network.get_image_features(**inputs).pooler_output
    return torch.nn.functional.normalize(found.float(), dim=-1).cpu()


def drawn(number: int) -> Any:
    """A crop of some size, as boxes have them."""
    random = np.random.default_rng(number)
    height, width = random.integers(30, 300, 2)
    return random.integers(0, 256, (height, width, 3)).astype(np.uint8)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
