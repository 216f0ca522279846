"""Toy stages beside the main line of `toys`: a curation, counts of the whole run, and scores, each off by default.

    ingest -> winnow -> phrases -> count -> score -> shard

`winnow` is a reduce stage whose merge has blocks and writes a part file for each part, `count` a job with one result
and part files, `score` a map stage that reads both, and `shard` reads the scores where there are any.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
from toys import Toy, ToyIngest, ToyPhrases, ToyShard, ToyTrain, write_tar

from schemas.config import Config
from schemas.marks import Only
from schemas.records import CURATION, SCORES
from stages.stage import (
    Counts,
    Input,
    JobStage,
    MapStage,
    Needs,
    Output,
    PartIO,
    PartResult,
    ReduceStage,
    RowError,
    RunIO,
    Scratch,
    Stage,
    reject_rows,
)

LENGTHS = pa.schema([("key", pa.string()), ("length", pa.int32())])


@dataclass(frozen=True)
class Switch:
    on: Annotated[bool, Only.PLAN] = False


@dataclass(frozen=True)
class RescoreOptions:
    on: Annotated[bool, Only.PLAN] = False
    factor: float = 1.0
    memory: Annotated[int, Only.SPEED] = 0


class SideWinnow(Toy, ReduceStage):
    """Of the captions that end alike, the first of the run is kept; "leak" belongs to a benchmark."""

    name = "winnow"
    inputs = (Input("pairs", ("key", "caption")),)
    outputs = (Output("summaries/winnow"),)
    merged = (Output("curation", aligned_with="pairs"),)
    carries_rows = False
    section = Switch
    depends_on = None

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return cls.options(config, Switch).on

    def run_part(self, io: PartIO) -> PartResult:
        table = io.read("pairs", ["key", "caption"])
        ends = [ending(caption) for caption in table["caption"].to_pylist()]
        io.write("summaries/winnow", pa.table({"key": table["key"], "end": ends}))
        io.progress(table.num_rows)
        return PartResult(Counts(table.num_rows, table.num_rows))

    @classmethod
    def merge_needs(cls, config: Config) -> Needs:
        return Needs(blocks=True)

    def merge(self, io: RunIO) -> dict[str, Any]:
        first: dict[str, str] = {}
        marks = str(Path(self.config.ingest.source).parent / "marks")
        blocks = []
        for part in io.parts():
            with io.scratch.create(f"ends-{part}") as file:
                file.write(json.dumps(io.read_part("summaries/winnow", part)["end"].to_pylist()).encode())
            blocks.append(Leaks(part, io.scratch.sha256(f"ends-{part}"), marks))
        io.run_blocks(blocks, "looking for leaks", threads=2)
        for part, block in zip(io.parts(), blocks, strict=True):
            leaks = json.loads(io.scratch.path(block.name).read_bytes())
            ends = io.read_part("summaries/winnow", part).to_pylist()
            rows = [self._row(row["key"], row["end"], first, leak) for row, leak in zip(ends, leaks, strict=True)]
            io.write_part("curation", part, pa.Table.from_pylist(rows, schema=CURATION))
        return {"distinct": len(first)}

    def _row(self, key: str, end: str, first: dict[str, str], leak: bool) -> dict[str, Any]:
        if leak:
            return {"key": key, "keep": False, "reason": "benchmark_leak", "duplicate_of": "toys:1"}
        kept = first.setdefault(end, key)
        why = {} if kept == key else {"reason": "near_duplicate", "duplicate_of": kept}
        return {"key": key, "keep": kept == key, **why}


@dataclass(frozen=True)
class Leaks:
    """A block of winnow's merge: which endings of a part belong to a benchmark.

    In `marks`, a file says that it began. While `hold-blocks` is there, all but the first part wait; a file
    `die-PART` there kills the worker, once; `raise-PART` makes it fail.
    """

    part: int
    digest: str  # of the endings
    marks: str

    @property
    def name(self) -> str:
        return f"leaks/{self.digest}-{self.part}"

    def run(self, scratch: Scratch) -> None:
        marks = Path(self.marks)
        if marks.exists():
            (marks / f"block-{self.part}-{time.time_ns()}").touch()
        while self.part and (marks / "hold-blocks").exists():
            time.sleep(0.05)
        if (marks / f"die-{self.part}").exists():
            (marks / f"die-{self.part}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (marks / f"raise-{self.part}").exists():
            raise ValueError("the block has a mistake")
        ends = json.loads(scratch.path(f"ends-{self.part}").read_bytes())
        with scratch.create(self.name) as file:
            file.write(json.dumps([end.startswith("leak") for end in ends]).encode())


class SidePhrases(ToyPhrases):
    inputs = (*ToyPhrases.inputs, Input("curation", ("key", "keep", "reason"), need="if_enabled", keep=True))


class SideCount(Toy, JobStage):
    """How often each word is a phrase in the whole run, and how many phrases each row has."""

    name = "count"
    inputs = (Input("phrases", ("key", "phrases.norm")),)
    outputs = (Output("counts", scope="run"), Output("lengths", aligned_with="phrases"))
    section = Switch
    depends_on = None

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return cls.options(config, Switch).on

    def run_job(self, io: RunIO) -> dict[str, Any]:
        seen: Counter[str] = Counter()
        for part in io.parts():
            rows = io.read_part("phrases", part).to_pylist()
            seen.update(phrase["norm"] for row in rows for phrase in row["phrases"])
            lengths = [{"key": row["key"], "length": len(row["phrases"])} for row in rows]
            io.write_part("lengths", part, pa.Table.from_pylist(lengths, schema=LENGTHS))
            io.progress(part, len(io.parts()))
        with io.create("counts/words.json") as file:
            file.write(json.dumps(dict(sorted(seen.items()))).encode())
        return {"words": len(seen)}


class SideRescore(Toy, MapStage):
    """A phrase's score is how often its word is there, times `factor`; captions that begin with "odd" are rejected."""

    name = "score"
    inputs = (
        Input("phrases", ("key", "caption", "phrases.norm")),
        Input("counts", scope="run"),
        Input("lengths", ("key", "length")),
    )
    outputs = (Output("scores", aligned_with="phrases", lists=("boxes", "phrases")),)
    section = RescoreOptions
    depends_on = None

    @classmethod
    def enabled(cls, config: Config) -> bool:
        return cls.options(config, RescoreOptions).on

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs(actor=True, memory=cls.options(config, RescoreOptions).memory)

    def run_part(self, io: PartIO) -> PartResult:
        assert io.files("counts") == ["counts/words.json"]
        with io.open("counts/words.json") as file:
            counts = json.loads(file.read())
        factor = self.options(self.config, RescoreOptions).factor
        lengths = {row["key"]: row["length"] for row in io.read("lengths").to_pylist()}
        rows, rejected = [], []
        for row in io.read("phrases").to_pylist():
            assert lengths[row["key"]] == len(row["phrases"])
            if row["caption"].startswith("odd"):
                rejected.append((row["key"], "", RowError("non_finite_scores")))
                continue
            boxes = [{"score": counts[phrase["norm"]] * factor} for phrase in row["phrases"]]
            rows.append({"key": row["key"], "image": 1.0, "boxes": boxes})
        io.write("scores", pa.Table.from_pylist(rows, schema=SCORES))
        io.write("rejects/score", reject_rows("score", rejected))
        io.progress(len(rows))
        return PartResult(Counts(len(rows) + len(rejected), len(rows), len(rejected)))


class SideShard(ToyShard):
    """As ToyShard, with the scores in the JSON."""

    inputs = (*ToyShard.inputs, Input("scores", ("key", "boxes.score"), need="if_enabled"))

    def run_part(self, io: PartIO) -> PartResult:
        scores: dict[str, Any] = {}
        if io.has("scores"):
            scores = {row["key"]: row["boxes"] for row in io.read("scores", ["key", "boxes"]).to_pylist()}
        rows = io.read("phrases").to_pylist()
        with io.create(f"shards/{io.part:07d}-000.tar") as file:
            write_tar(file, [{**row, "scores": scores.get(row["key"])} for row in rows])
        return PartResult(Counts(len(rows), len(rows)))


SIDE_PROJECT: list[type[Stage]] = [ToyIngest, SideWinnow, SidePhrases, SideCount, SideRescore, SideShard, ToyTrain]
ON: dict[str, Any] = {"winnow": {"on": True}, "count": {"on": True}, "score": {"on": True}}


def ending(caption: str) -> str:
    """The last word, without the numbers that tell the toys' captions apart, and how many there are."""
    words = caption.split(" ")
    return words[-1].rstrip("0123456789") + str(len(words))
