"""pairs + phrases + pseudo (+ masks, scores) -> shards: WebDataset tars, original image bytes and one JSON per sample.

With `shard.upright`, images that are turned by their EXIF orientation are encoded again, upright.

With masks, a box has its `segmentation`; boxes further from their masks than `filter.max_mask_box_gap` are left out.
With scores, a box has the cosine of its crop with its phrase (`region_score`), and a sample that of its image with its
caption (`image_score`).

Shards are cut inside a part, so that a part can be recomputed on its own. Samples without boxes are set aside. The
list of all shards, index.json, is put together from one small summary per part.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar

from model.cards import terms
from model.teacher import Description
from stages.images import check_sha256, sniff, upright_file
from stages.shard.index import INDEX
from stages.shard.samples import json_line, read_samples, sample_json
from stages.stage import Counts, Input, Output, PartIO, PartResult, ReduceStage, RowError, RunIO, reject_rows
from stages.tar_writer import TarWriter

if TYPE_CHECKING:
    from schemas.config import Config, LabelConfig


class ShardStage(ReduceStage):
    name: ClassVar[str] = "shard"
    version: ClassVar[int] = 1
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs"),
        Input("phrases", ("key", "phrases.start", "phrases.end", "phrases.text")),
        Input("pseudo", ("key", "width", "height", "boxes", "dropped.box")),
        Input("masks", need="if_enabled"),
        Input("scores", need="if_enabled"),
    )
    outputs: ClassVar[tuple[Output, ...]] = (Output("shards"), Output("summaries/shard"))
    depends_on: ClassVar[tuple[str, ...]] = ("corpus", "shard", "filter.max_mask_box_gap")

    def __init__(self, config: Config) -> None:
        self.corpus: str = config.corpus
        self.samples_per_shard: int = config.shard.samples_per_shard
        self.upright: bool = config.shard.upright
        self.max_mask_box_gap: float = config.filter.max_mask_box_gap
        self.teacher = provenance(config.label)

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        return {"teacher": provenance(config.label)}

    def run_part(self, io: PartIO) -> PartResult:
        read = read_samples(io, self.max_mask_box_gap)
        samples = read.samples
        set_aside = Counter(sample.set_aside for sample in samples if sample.set_aside)
        usable = [sample for sample in samples if not sample.set_aside]
        io.progress(len(samples) - len(usable))
        images = io.image_bytes([sample.pair.image for sample in usable if sample.pair.image])
        rejected: list[tuple[str, str, RowError]] = []
        shards = ShardWriter(io, self.samples_per_shard)
        with shards:
            for sample, data in zip(usable, images, strict=True):
                pair = sample.pair
                try:
                    image = check_sha256(data, pair.sha256)
                    if self.upright:
                        image = upright_file(image, (pair.width or 0) * (pair.height or 0))
                    shards.add(f"{self.corpus}-{pair.key}", image, sample_json(sample, self.teacher, self.upright))
                except RowError as error:
                    rejected.append((pair.key, pair.source_id, error))
                io.progress(1)
        with io.create(summary_path(io.part)) as file:
            file.write(json_line(shards.entries))
        io.write("rejects/shard", reject_rows("shard", rejected))
        notes = {"boxes_left_out": {"mask_box_gap": read.left_out}} if read.left_out else {}
        return PartResult(Counts(len(samples), shards.samples, len(rejected), dict(set_aside)), notes)

    def merge(self, io: RunIO) -> dict[str, Any]:
        """Write shards/index.json from the summaries of all parts, in the order of the parts."""
        shards: list[dict[str, Any]] = []
        for part in io.parts():
            with io.open(summary_path(part)) as file:
                shards += json.load(file)
        with io.create(INDEX) as file:
            lines = ",\n".join(json.dumps(entry, sort_keys=True) for entry in shards)
            file.write(f'{{"shards": [\n{lines}\n]}}\n'.encode())
        return {"shards": len(shards), "samples": sum(entry["samples"] for entry in shards)}


class ShardWriter:
    """Cuts samples into shards of one part. `entries`: file, samples, bytes and sha256 of each."""

    def __init__(self, io: PartIO, samples_per_shard: int) -> None:
        self.io = io
        self.samples_per_shard = samples_per_shard
        self.entries: list[dict[str, Any]] = []
        self.samples = 0
        self._tar: TarWriter | None = None
        self._in_shard = 0
        self._open = ExitStack()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exc_info: Any) -> bool | None:
        if exc_info[0] is None:
            self._finish()
        return self._open.__exit__(*exc_info)

    def add(self, name: str, image: bytes, record: bytes) -> None:
        if self._in_shard == self.samples_per_shard:
            self._finish()
        if self._tar is None:
            self._file = f"{self.io.part:07d}-{len(self.entries):03d}.tar"
            self._tar = TarWriter(self._open.enter_context(self.io.create(f"shards/{self._file}")))
        self._tar.add(f"{name}.{sniff(image)}", image)
        self._tar.add(f"{name}.json", record)
        self._in_shard += 1
        self.samples += 1

    def _finish(self) -> None:
        if self._tar is None:
            return
        sha256 = self._tar.finish()
        entry = {"file": self._file, "samples": self._in_shard, "bytes": self._tar.size, "sha256": sha256}
        self.entries.append(entry)
        self._open.close()
        self._tar, self._in_shard = None, 0


def provenance(label: LabelConfig) -> str:
    """The teacher as each sample names it, with the terms that its weights put on their labels, if any."""
    limits = terms(label)
    return f"{Description.of(label)} ({limits})" if limits else str(Description.of(label))


def summary_path(part: int) -> str:
    return f"summaries/shard/part-{part:07d}.json"
