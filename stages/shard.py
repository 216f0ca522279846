"""pairs + phrases + pseudo -> shards: WebDataset tars with the original image bytes and one JSON per sample.

Shards are cut inside a part, so that a part can be made again on its own. Samples without boxes are set aside. The
list of all shards, index.json, is put together from one small summary per part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, ClassVar, Literal

from stages.images import sniff
from stages.stage import Counts, ImageRef, Input, PartIO, PartResult, RowError, RunIO, reject_rows
from stages.tar_writer import TarWriter

BATCH = 64  # samples whose images are in memory at a time
INDEX = "shards/index.json"


class ShardStage:
    name: ClassVar[str] = "shard"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["map"]] = "map"
    inputs: ClassVar[tuple[Input, ...]] = (
        Input("pairs"),
        Input("phrases", ("key", "phrases.start", "phrases.end", "phrases.text")),
        Input("pseudo", ("key", "width", "height", "boxes")),
    )
    outputs: ClassVar[tuple[str, ...]] = ("shards", "summaries/shard")

    def __init__(self, config: Any) -> None:
        self.corpus: str = config.corpus
        self.samples_per_shard: int = config.shard.samples_per_shard
        self.teacher = teacher_name(config)

    @classmethod
    def resolve(cls, config: Any) -> dict[str, Any]:
        return {}

    @classmethod
    def settings(cls, config: Any) -> dict[str, Any]:
        return {
            "corpus": config.corpus,
            "samples_per_shard": config.shard.samples_per_shard,
            "teacher": teacher_name(config),
        }

    def run_part(self, io: PartIO) -> PartResult:
        samples = read_samples(io)
        set_aside = {"no_image": 0, "no_boxes": 0}
        usable = []
        for sample in samples:
            if sample["image"] is None:
                set_aside["no_image"] += 1
            elif not sample["boxes"]:
                set_aside["no_boxes"] += 1
            else:
                usable.append(sample)
        rejected: list[tuple[str, str, RowError]] = []
        shards = ShardWriter(io, self.samples_per_shard)
        with shards:
            for sample, data in self._with_images(io, usable):
                try:
                    name = f"{self.corpus}-{sample['key']}"
                    shards.add(name, check_image(data, sample["sha256"]), sample_json(sample, self.teacher))
                except RowError as error:
                    rejected.append((sample["key"], sample["source_id"], error))
        with io.create(summary_path(io.part)) as file:
            file.write(_json_line(shards.entries))
        io.write("rejects/shard", reject_rows("shard", rejected))
        set_aside = {reason: n for reason, n in set_aside.items() if n}
        return PartResult(Counts(len(samples), shards.samples, len(rejected), set_aside))

    def _with_images(
        self, io: PartIO, samples: list[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], bytes | RowError]]:
        for start in range(0, len(samples), BATCH):
            batch = samples[start : start + BATCH]
            yield from zip(batch, io.image_bytes([ImageRef(**sample["image"]) for sample in batch]), strict=True)
            io.progress(len(batch))

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


def summary_path(part: int) -> str:
    return f"summaries/shard/part-{part:07d}.json"


def teacher_name(config: Any) -> str:
    """The teacher, with the hash of its weights where the resolved config has it."""
    weights = getattr(config.label, "weights_sha256", None)
    return f"{config.label.teacher}@{weights[:12]}" if weights else str(config.label.teacher)


def read_samples(io: PartIO) -> list[dict[str, Any]]:
    """The rows of pseudo, in order, with what pairs and phrases know of the same key."""
    pairs = {row["key"]: row for row in io.read("pairs").to_pylist()}
    phrases = {row["key"]: row["phrases"] for row in io.read("phrases", ["key", "phrases"]).to_pylist()}
    rows = io.read("pseudo", ["key", "boxes"]).to_pylist()
    return [{**pairs[row["key"]], "phrases": phrases[row["key"]], "boxes": row["boxes"]} for row in rows]


def check_image(data: bytes | RowError, expected: str) -> bytes:
    """The bytes, if they are those that ingest recorded. Raises RowError."""
    if isinstance(data, RowError):
        raise data
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise RowError("image_changed", f"sha256 {found[:12]}..., recorded {expected[:12]}...")
    return data


def sample_json(sample: dict[str, Any], teacher: str) -> bytes:
    """The JSON member of a sample. Numbers are those of pseudo, exactly: the float32 values, written as doubles."""
    record = {
        "key": sample["key"],
        "caption": sample["caption"],
        "width": sample["width"],
        "height": sample["height"],
        "orientation": sample["orientation"],
        "phrases": [{name: phrase[name] for name in ("start", "end", "text")} for phrase in sample["phrases"]],
        "boxes": [
            {"phrase": box["phrase"], "bbox": [box["x1"], box["y1"], box["x2"], box["y2"]], "score": box["score"]}
            for box in sample["boxes"]
        ],
        "teacher": teacher,
        "source_id": sample["source_id"],
        "license": sample["license"],
    }
    return _json_line(record)


def _json_line(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n").encode()
