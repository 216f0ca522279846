"""Four small stages of every kind, for tests of the runner: real files and records, no model.

The source is a folder of text files, one caption a line; a line that begins with "bad" is rejected. Lines can also
order mishaps, which happen to the phrases stage when it meets them (see `mishap`).
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from pipeline.storage.retry import StoreError
from schemas.config import Config
from schemas.records import PAIRS, PHRASES, make_key
from stages.stage import (
    Counts,
    Files,
    Input,
    JobStage,
    MapStage,
    Output,
    PartIO,
    PartResult,
    PlannerStage,
    ReduceStage,
    RowError,
    RunIO,
    Slice,
    Stage,
    UserError,
    reject_rows,
)


class Toy(Stage):
    depends_on: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Config) -> None:
        self.config = config


class ToyIngest(Toy, PlannerStage):
    name = "ingest"
    outputs = (Output("pairs"),)

    def plan(self, files: Files, part_size: int) -> list[Slice]:
        slices = []
        for file in files.list_source(self.config.ingest.source):
            with files.open_source(file.uri) as stream:
                rows = len(stream.read().splitlines())
            slices += [
                Slice(file.uri, start, min(start + part_size, rows), size=file.size)
                for start in range(0, rows, part_size)
            ]
        return slices

    def run_part(self, io: PartIO) -> PartResult:
        assert io.slice is not None
        with io.open_source(io.slice.uri) as stream:
            lines = stream.read().decode().splitlines()[io.slice.start : io.slice.stop]
        rows, rejected = [], []
        for number, caption in enumerate(lines):
            key = make_key(io.part, number)
            if f"line {number}" in io.slice.extra.get("removed", ()):
                rejected.append((key, f"line {number}", RowError("removed")))
            elif is_bad(caption):
                rejected.append((key, f"line {number}", RowError("bad_record", caption)))
            else:
                rows.append({"key": key, "source_id": f"line {number}", "caption": caption, "orientation": 1})
            io.progress(1)
        io.write("pairs", pa.Table.from_pylist(rows, schema=PAIRS))
        io.write("rejects/ingest", reject_rows("ingest", rejected))
        return PartResult(Counts(len(lines), len(rows), len(rejected)))


class ToyPhrases(Toy, MapStage):
    """Words as phrases. `phrases.max_words` changes `norm` alone, which the shards do not depend on."""

    name = "phrases"
    inputs = (Input("pairs", ("key", "caption")),)
    outputs = (Output("phrases"),)
    depends_on = ("phrases.max_words", "phrases.max_phrases")

    def run_part(self, io: PartIO) -> PartResult:
        pairs = io.read("pairs", ["key", "caption"])
        rows = [self._row(row["key"], row["caption"]) for row in pairs.to_pylist()]
        for caption in pairs["caption"].to_pylist():
            mishap(caption, io, Path(self.config.ingest.source).parent / "marks")
        io.write("phrases", pa.Table.from_pylist(rows, schema=PHRASES))
        return PartResult(Counts(len(rows), len(rows)))

    def _row(self, key: str, caption: str) -> dict[str, Any]:
        phrases, start = [], 0
        for word in caption.split(" ")[: self.config.phrases.max_phrases]:
            norm = word.lower()[: self.config.phrases.max_words]
            phrases.append({"start": start, "end": start + len(word), "text": word, "head": norm, "norm": norm})
            start += len(word) + 1
        return {"key": key, "caption": caption, "phrases": phrases, "dropped": []}


class ToyShard(Toy, ReduceStage):
    """Tars of `shard.samples_per_shard` samples; a caption of one word is set aside. The merge lists the tars."""

    name = "shard"
    inputs = (Input("pairs"), Input("phrases", ("key", "phrases.start", "phrases.text")))
    outputs = (Output("shards"),)
    depends_on = ("shard",)

    def run_part(self, io: PartIO) -> PartResult:
        rows = io.read("phrases").to_pylist()
        samples = [row for row in rows if len(row["phrases"]) > 1]
        step = self.config.shard.samples_per_shard
        for number, start in enumerate(range(0, len(samples), step)):
            with io.create(f"shards/{io.part:07d}-{number:03d}.tar") as file:
                write_tar(file, samples[start : start + step])
        aside = len(rows) - len(samples)
        return PartResult(Counts(len(rows), len(samples), 0, {"no_boxes": aside} if aside else {}))

    def merge(self, io: RunIO) -> dict[str, Any]:
        tars = [path for path in io.files("shards") if path.endswith(".tar")]
        with io.create("shards/index.json") as file:
            file.write(json.dumps(tars).encode())
        return {"shards": len(tars)}


class ToyTrain(Toy, JobStage):
    """A job of `train.steps` steps with a checkpoint after each; goes on from the last one that it finds.

    It waits at its beginning while `marks` holds `hold-train`.
    """

    name = "train"
    inputs = (Input("shards"),)
    outputs = (Output("student", scope="run"),)
    depends_on = ("train.steps", "train.seed")

    def run_job(self, io: RunIO) -> dict[str, Any]:
        while (Path(self.config.ingest.source).parent / "marks" / "hold-train").exists():
            time.sleep(0.05)
        found = [path for path in io.files("student") if "/step-" in path]
        state = self.config.train.seed
        first = 0
        if found:
            first = int(found[-1][-4:])
            with io.open(found[-1]) as file:
                state = int(file.read())
        size = sum(len(path) for path in io.files("shards"))
        for step in range(first, self.config.train.steps):
            state = (state * 31 + size + step) % 1_000_003
            time.sleep(0.02)
            with io.create(f"student/step-{step + 1:04d}") as file:
                file.write(str(state).encode())
            io.progress(step + 1, self.config.train.steps, f"state {state}")
        for path in found[:-1]:
            io.delete(path)
        with io.create("student/weights") as file:
            file.write(str(state).encode())
        for path in io.files("student"):
            if "/step-" in path:
                io.delete(path)
        return {"resumed_from": first}


PROJECT: list[type[Stage]] = [ToyIngest, ToyPhrases, ToyShard, ToyTrain]


def is_bad(caption: str) -> bool:
    return caption.startswith("bad")


def write_tar(file: Any, rows: list[dict[str, Any]]) -> None:
    with tarfile.open(fileobj=file, mode="w") as tar:
        for row in rows:
            for suffix, data in ((".jpg", row["caption"].encode()), (".json", json.dumps(row).encode())):
                member = tarfile.TarInfo(f"toy-{row['key']}{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def mishap(caption: str, io: PartIO, marks: Path) -> None:
    """What a caption orders: `@die`, `@hang`, `@hold`, `@eat`, `@raise`, `@user`, `@store`, `@slow`, `@walk`; a number
    says how often at most: `@die2` kills two workers and lets the third one through. `marks` is where that is counted,
    and a file `peace` there ends it all.
    """
    if not caption.startswith("@"):
        return
    what = caption[1:].split()[0].rstrip("0123456789")
    times = int(caption[1:].split()[0][len(what) :] or 1 << 30)
    mine = len(list(marks.glob(f"{what}-{io.part}-*")))
    (marks / f"{what}-{io.part}-{time.time_ns()}").touch()
    if mine >= times or (marks / "peace").exists():
        return
    if what == "die":
        sys.stderr.write("the last line of a worker\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        threading.Event().wait()
    if what == "eat":
        eat(int(os.environ.get("TOYS_EAT_AT_MOST", 1 << 30)))
    if what == "hold":
        while not (marks / "peace").exists():
            time.sleep(0.05)
    if what == "slow":
        time.sleep(0.3)
    if what == "walk":
        while not (marks / "arrived").exists():
            time.sleep(0.5)
            io.progress(1)
    if what == "raise":
        raise ValueError("the stage has a mistake")
    if what == "user":
        raise UserError("phrases.backend: not installed")
    if what == "store":
        raise StoreError("phrases/: the store refuses access")


def eat(most: int) -> None:
    """Takes memory until somebody stops it; raises after `most` bytes."""
    held = []
    while sum(map(len, held)) < most:
        held.append(b"x" * (64 << 20))
        time.sleep(0.02)
    time.sleep(600)  # on a busy machine whoever watches may be late
    raise MemoryError("nobody stopped it")
