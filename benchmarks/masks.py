"""Rates of the mask stage's networks at their published size, with random weights, beside the library's own way.

    python -m benchmarks.masks --out benchmarks/results/masks.json          # CPU; --device cuda for a GPU

For each family: seconds to encode an image, seconds for each box after that (decoding, enlarging and run lengths), and
for SAM and SAM-HQ the same image and boxes through transformers' processor, model and post-processing, with run lengths
by pycocotools. Both sides run in turn on the same images; medians are kept, and of an image the least and the most.
EdgeTAM is left out: its encoder is timm's.
"""

from __future__ import annotations

import argparse
import statistics
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
from model.segmenter import Segmenter
from stages.rle import encode

CLASSES = {"sam": "Sam", "sam_hq": "SamHQ", "sam2": "Sam2"}  # SAM ViT-B, SAM-HQ ViT-B, SAM 2 Hiera-T by default
HEIGHT, WIDTH = 480, 640  # of an image, as COCO's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", nargs="+", choices=list(CLASSES), default=list(CLASSES))
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--boxes", type=int, default=8, help="of an image")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="of the one family, in place of its published size")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rates = {}
    for family in arguments.families:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = arguments.checkpoint or save(family, Path(folder))
            rates[family] = measure(family, checkpoint, arguments.images, arguments.boxes, arguments.device)
    settings = {"images": arguments.images, "boxes": arguments.boxes, "size": [HEIGHT, WIDTH]}
    settings = {"command": command_line("benchmarks.masks"), **settings}
    publish({**settings, **environment(arguments.device, arguments.threads), "families": rates}, arguments.out)


def environment(device: str, threads: int) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device.startswith("cuda") else processor_name()
    versions = {package: version(package) for package in ("torch", "transformers", "pycocotools")}
    return {"device": name, "threads": threads, "versions": versions, "date": datetime.now(UTC).date().isoformat()}


def save(family: str, folder: Path) -> Path:
    """A checkpoint of the published size with random weights."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{CLASSES[family]}Config")()
    getattr(transformers, f"{CLASSES[family]}Model")(config).save_pretrained(folder)
    return folder


def measure(family: str, checkpoint: Path, images: int, boxes: int, device: str) -> dict[str, Any]:
    """Medians over the images, in seconds; the first image is a rehearsal."""
    segmenter = Segmenter.open(checkpoint, device)
    theirs = library(family, checkpoint, segmenter) if family != "sam2" else None
    one, many, other = [], [], []
    for number in range(images + 1):
        image, own = drawn(number, boxes)
        one.append(timed(lambda image=image, own=own: ours(segmenter, image, own[:1])))  # type: ignore[misc]
        many.append(timed(lambda image=image, own=own: ours(segmenter, image, own)))  # type: ignore[misc]
        if theirs is not None:
            other.append(timed(lambda image=image, own=own: theirs(image, own)))  # type: ignore[misc]
    whole, first = statistics.median(many[1:]), statistics.median(one[1:])
    per_box = max(whole - first, 0.0) / max(boxes - 1, 1)
    rates: dict[str, Any] = {"seconds_per_image": whole, "seconds_per_image_range": [min(many[1:]), max(many[1:])]}
    rates |= {"encode_seconds": first - per_box, "seconds_per_box": per_box}
    if other:
        rates["library_seconds_per_image"] = statistics.median(other[1:])
        rates["library_seconds_per_image_range"] = [min(other[1:]), max(other[1:])]
    return rates


def ours(segmenter: Segmenter, image: Any, boxes: Any) -> list[bytes]:
    return [encode(segment.mask) for segment in segmenter.segment(image, boxes)]


def library(family: str, checkpoint: Path, segmenter: Segmenter) -> Callable[[Any, Any], list[bytes]]:
    """The same through transformers and pycocotools, as their pages show it."""
    from pycocotools import mask

    side = segmenter.side
    pixels = transformers.SamImageProcessorPil(size={"longest_edge": side}, pad_size={"height": side, "width": side})
    processor = getattr(transformers, f"{CLASSES[family]}Processor")(pixels)
    network = getattr(transformers, f"{CLASSES[family]}Model").from_pretrained(checkpoint).eval().to(segmenter.device)

    def run(image: Any, boxes: Any) -> list[bytes]:
        inputs = processor(image, input_boxes=[boxes.tolist()], return_tensors="pt")
        sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
        with torch.no_grad():
            given = {name: value.float().to(segmenter.device) for name, value in inputs.items()}
            found = network(**given, multimask_output=False)
        masks = processor.post_process_masks(found.pred_masks.cpu(), *sizes)[0][:, 0].numpy()
        return [mask.encode(np.asfortranarray(one.astype(np.uint8)))["counts"] for one in masks]

    return run


def drawn(number: int, boxes: int) -> tuple[Any, Any]:
    random = np.random.default_rng(number)
    image = random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    corner = random.uniform(0, 0.6, (boxes, 2)) * (WIDTH, HEIGHT)
    side = random.uniform(0.1, 0.4, (boxes, 2)) * (WIDTH, HEIGHT)
    return image, np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
