"""How fast training is, and how fast its loader is beside a bare `webdataset` loop over the same shards.

    python -m benchmarks.train --variant glip-nano --device cpu
    python -m benchmarks.train --variant glip-t --device cuda --precision bf16 --batch-size 16 --loaders 14

Shards: those of --run (a run folder that `phrasebox shard` has been through), else scenes that are drawn here, with
their true boxes for labels. Training: `stages.train.loop.Trainer` as `phrasebox train` runs it, in a temporary
folder, without checkpoints; the first --warm-up steps are left out. Loader: one thread, images per second of processor
time, which is images/s per core: `decoded` to RGB with their records, `resized` for the network as well, and `batched`,
as many with all that the training's loader does (mixed order, like shapes together, flips, threads); beside each,
webdataset's own pipeline, `decode("rgb8")` and for the last two the same resize. Each is run --repeats times in turn,
the best counts. A result joins those in --out; the same command on the same device replaces its former one.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import io
import json
import os
import platform
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import processor_name
from model.glip import Glip
from model.images import resize, resized_size
from model.variants import get_variant
from pipeline.storage.files import RunFiles
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.synthetic import draw_scene
from stages.train import transforms
from stages.train.loader import prefetch
from stages.train.loop import Trainer
from stages.train.order import shuffled_in_blocks
from stages.train.ranks import Ranks
from stages.train.shards import ShardSet
from stages.train.stage import make_batches

Members = Callable[[int], list[tuple[str, bytes]]]

PER_SHARD = 250
MAX_PIXELS = 100_000_000


def write_shards(folder: Path, count: int, members: Members | None = None) -> None:
    """Samples in shards as the shard stage writes them: `members` of each number, or scenes with their true boxes."""
    members = members or scene_members
    (folder / "shards").mkdir(parents=True)
    index = []
    for number, start in enumerate(range(0, count, PER_SHARD)):
        file = folder / "shards" / f"0000000-{number:03d}.tar"
        with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as tar:
            for at in range(start, min(start + PER_SHARD, count)):
                for suffix, data in members(at):
                    entry = tarfile.TarInfo(f"bench-{at:012d}.{suffix}")
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
        data = file.read_bytes()
        samples = min(PER_SHARD, count - start)
        digest = hashlib.sha256(data).hexdigest()
        index.append({"file": file.name, "samples": samples, "bytes": len(data), "sha256": digest})
    (folder / "shards" / "index.json").write_text(json.dumps({"shards": index}))


def scene_members(at: int) -> list[tuple[str, bytes]]:
    scene = draw_scene("web", 0, at)
    boxes = [{"phrase": b.span, "bbox": [b.x1, b.y1, b.x2, b.y2], "score": 1.0} for b in scene.boxes]
    record = {
        "key": f"{at:012d}",
        "caption": scene.caption,
        **{"width": scene.width, "height": scene.height},
        "phrases": [{"start": a, "end": b, "text": scene.caption[a:b]} for a, b in scene.spans],
        "boxes": boxes,
    }
    return [("jpg", scene.jpeg), ("json", json.dumps(record).encode())]


# -- the loader alone ----------------------------------------------------------------------------------------------


def ours(files: RunFiles, sides: tuple[int, int] | None) -> Iterator[Any]:
    """Every sample of the shards once, in a training's order, as an example."""
    shards = ShardSet(files)
    for index in shards.order(np.ones(len(shards), dtype=np.int64), 0, 0, 0).tolist():
        yield transforms.decode(shards.sample(index), MAX_PIXELS, sides or (None, None))


def batched(files: RunFiles, config: Config) -> Iterator[Any]:
    """As many samples as the shards hold, as the batches of a training, by its loader."""
    sets, maker = make_batches(files, config)
    steps = len(sets["pseudo"]) // config.train.batch_size
    for batch in prefetch(maker.make, 0, steps, config.train.loaders):
        yield from batch.examples


def bare(files: RunFiles, sides: tuple[int, int] | None) -> Iterator[Any]:
    """The same with webdataset alone: shards in random order, decoded."""
    import webdataset

    root = Path(files.storage.root) / "shards"
    names = [entry["file"] for entry in json.loads((root / "index.json").read_text())["shards"]]
    order = shuffled_in_blocks(np.ones(len(names), dtype=np.int64), [1] * len(names), len(names), 0, 0, 0)
    urls = [str(root / names[i]) for i in order]
    for image, record in webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8").to_tuple("jpg", "json"):
        yield (resize(image, resized_size(image.shape, sides)) if sides else image), record


def images_per_second(samples: Callable[[], Iterator[Any]]) -> float:
    """Of one core: by the processor time of this process, so that neighbours on the machine do not count."""
    start = time.process_time()
    count = sum(1 for _ in samples())
    return count / (time.process_time() - start)


def loader_figures(files: RunFiles, variant: str, repeats: int) -> dict[str, dict[str, float]]:
    sides = get_variant(variant).short, get_variant(variant).long
    settings = {"variant": variant, "batch_size": 8, "loaders": 1, "device": "cpu"}
    config = Config.model_validate({"run": files.storage.root, "train": settings})
    kinds: dict[str, tuple[Callable[[], Iterator[Any]], Callable[[], Iterator[Any]]]] = {
        "decoded": (lambda: ours(files, None), lambda: bare(files, None)),
        "resized": (lambda: ours(files, sides), lambda: bare(files, sides)),
        "batched": (lambda: batched(files, config), lambda: bare(files, sides)),
    }
    figures = {}
    for name, pair in kinds.items():
        rates = [[images_per_second(samples) for samples in pair] for _ in range(repeats)]
        best = [max(column) for column in zip(*rates, strict=True)]
        figures[name] = {"phrasebox": best[0], "webdataset": best[1], "ratio": best[0] / best[1]}
    return figures


# -- training ------------------------------------------------------------------------------------------------------


def train_figures(files: RunFiles, options: argparse.Namespace) -> dict[str, Any]:
    settings = {
        **{"variant": options.variant, "device": options.device, "precision": options.precision, "lr": 1e-4},
        **{"batch_size": options.batch_size, "steps": options.warm_up + options.steps, "text_lr": 1e-5},
        **{"log_every": options.warm_up, "checkpoint_every": 10**9, "loaders": options.loaders},
        **{"threads": options.threads, "checkpointing": options.checkpointing, "regularise": True},
    }
    config = Config.model_validate({"run": files.storage.root, "train": settings})
    torch.set_num_threads(options.threads)
    _, maker = make_batches(files, config)
    glip = Glip.from_variant(options.variant, regularisation=get_variant(options.variant).published)
    trainer = Trainer(glip, maker, config.train, files, "student", Ranks())
    trainer.run(lambda step, entry: None)
    measured = trainer.metrics.entries[1:]  # the first one holds the warm-up
    return {
        "settings": settings,
        **{name: mean_of(measured, name) for name in ("samples_per_second", "data_wait_share", "mfu")},
        "memory_gib": float(measured[-1]["memory_bytes"] or 0) / 2**30,
        "peak_tflops": None if trainer.peak is None else trainer.peak / 1e12,
    }


def mean_of(entries: list[dict[str, float | None]], name: str) -> float | None:
    """Over logs of equally many steps: rates by the mean time of a sample, shares by the mean."""
    values = [entry[name] for entry in entries]
    if any(value is None for value in values):
        return None
    known = np.array(values, dtype=float)
    return float(1 / (1 / known).mean() if name == "samples_per_second" else known.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="glip-nano")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=60, help="measured, in whole multiples of --warm-up")
    parser.add_argument("--warm-up", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    parser.add_argument("--loaders", type=int, default=1)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--run", type=Path, default=None, help="a run folder with shards/ [drawn scenes]")
    parser.add_argument("--scenes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3, help="of the loader")
    parser.add_argument("--only", choices=("loader", "training"), default=None)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phrasebox-bench-") as folder:
        root = Path(folder)
        if options.run:
            (root / "shards").symlink_to((options.run / "shards").resolve())
        else:
            write_shards(root, options.scenes)
        files = RunFiles(open_storage(folder), [0], "bench", lambda *_: None)
        result = measure(files, options)
    if options.out:
        merge(options.out, result)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def measure(files: RunFiles, options: argparse.Namespace) -> dict[str, Any]:
    result: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.train", *sys.argv[1:]]),
        "shards": str(options.run) if options.run else f"{options.scenes} scenes, split web, seed 0",
    }
    if options.only != "loader":
        result["training"] = train_figures(files, options)
    if options.only != "training":
        torch.set_num_threads(1)
        result["loader"] = loader_figures(files, options.variant, options.repeats)
    cuda = options.device.startswith("cuda")
    return {
        **result,
        "device": torch.cuda.get_device_name() if cuda else f"{processor_name()}, {options.threads} thread(s)",
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": datetime.date.today().isoformat(),
    }


def merge(path: Path, result: dict[str, Any]) -> None:
    """Into the file of all measurements; the same command on the same device replaces its former one."""
    rows = json.loads(path.read_text()) if path.exists() else []
    same = (result["command"], result["device"])
    rows = [row for row in rows if (row["command"], row["device"]) != same]
    path.write_text(json.dumps([*rows, result], indent=1) + "\n")


if __name__ == "__main__":
    main()
