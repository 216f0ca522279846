"""A run's shards as a `webdataset` pipeline: split by node and worker, read through the storage of the run.

webdataset's own opener would hand a URI to a command of the shell, and its decoders unpickle what is named `.pyd`; here
a shard is opened as every other file of a run, and nothing is decoded but the image and the JSON of our own samples.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pipeline.storage.open import open_storage
from stages.images import open_rgb
from stages.stage import UserError

Item = dict[str, Any]  # what travels from one step of a pipeline to the next
SUFFIXES = ("jpg", "png", "webp")


def shard_pipeline(
    root: str,
    files: list[str],
    *,
    upright: bool,
    shuffle: int,
    resampled: bool,
    samples: int | None,
    seed: int,
    max_pixels: int,
) -> Any:
    """The pipeline of `Run.webdataset`, over these shards of the run."""
    import webdataset
    from webdataset.tariterators import group_by_keys, tar_file_expander

    chance = Chance(seed)
    if resampled:
        shards = webdataset.FluidWrapper(Drawn(files, chance))
    else:
        split = [EnoughShards(len(files)), webdataset.split_by_node, webdataset.split_by_worker]
        mixed = [Shuffled(len(files), chance)] if shuffle else []
        shards = webdataset.FluidWrapper([{"url": file} for file in files]).compose(*split, *mixed)
    return shards.compose(
        Opened(root),
        tar_file_expander,
        group_by_keys,
        *([Shuffled(shuffle, chance)] if shuffle else []),
        Decoded(upright, max_pixels),
        *([Shared(samples)] if samples is not None else []),
    )


def place() -> tuple[int, int, int, int]:
    """(rank, ranks, worker, workers) of this process."""
    from webdataset.utils import pytorch_worker_info

    rank, ranks, worker, workers = pytorch_worker_info()
    return rank, ranks, worker, workers


@dataclass
class Chance:
    """Random numbers that differ between ranks, workers and epochs, and follow from the seed and torch's own."""

    seed: int
    drawn: int = field(default=0, init=False)

    def draw(self) -> random.Random:
        """For one pass. A DataLoader starts workers for every epoch, each with a new seed, or keeps those it has."""
        from torch.utils.data import get_worker_info

        self.drawn += 1
        worker = get_worker_info()
        return random.Random(f"{self.seed} {self.drawn} {place()} {worker.seed if worker else 0}")


@dataclass
class Drawn:
    """Shards without end, each drawn from all."""

    files: list[str]
    chance: Chance

    def __call__(self) -> Iterator[Item]:
        random = self.chance.draw()
        while True:
            yield {"url": random.choice(self.files)}


@dataclass
class EnoughShards:
    """Refuses to leave a rank of a training without a shard: the others would wait for it for ever."""

    shards: int

    def __call__(self, source: Iterator[Item]) -> Iterator[Item]:
        _, ranks, _, _ = place()
        if ranks > self.shards:
            raise UserError(
                f"webdataset: {self.shards} shards cannot be split among {ranks} ranks; make more of them with a lower "
                "shard.samples_per_shard, or draw from all of them with resampled=True"
            )
        return source


@dataclass
class Shuffled:
    size: int
    chance: Chance

    def __call__(self, source: Iterator[Item]) -> Iterator[Item]:
        import webdataset

        shuffled: Iterator[Item] = webdataset.shuffle(self.size, initial=self.size, rng=self.chance.draw())(source)
        return shuffled


@dataclass
class Opened:
    """Opens shards one after the other, in the process that reads them."""

    root: str

    def __call__(self, source: Iterator[Item]) -> Iterator[Item]:
        storage = open_storage(self.root)
        for item in source:
            with storage.open(f"shards/{item['url']}") as stream:
                yield {"url": f"{self.root}/shards/{item['url']}", "stream": stream}


@dataclass
class Decoded:
    upright: bool
    max_pixels: int

    def __call__(self, source: Iterator[Item]) -> Iterator[Item]:
        for item in source:
            image = next(item[suffix] for suffix in SUFFIXES if suffix in item)
            yield {
                "__key__": item["__key__"],
                "__url__": item["__url__"],
                "image": open_rgb(image, self.max_pixels) if self.upright else image,
                "json": json.loads(item["json"]),
            }


@dataclass
class Shared:
    """Ends an epoch of so many samples, of which every rank has as many as the others."""

    samples: int

    def __call__(self, source: Iterator[Item]) -> Iterator[Item]:
        _, ranks, worker, workers = place()
        mine = self.samples // ranks
        return islice(source, mine // workers + (worker < mine % workers))
