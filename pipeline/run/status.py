"""`phrasebox status`: what is done, under way, failed and rejected, from the plan, the records and the state alone."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.run.commits import read_record
from pipeline.run.failures import failures
from pipeline.run.lock import is_alive, read_lock
from pipeline.run.plan import planned_parts
from pipeline.run.record_index import COUNTS, counts_row, look_up
from pipeline.run.target import MERGED
from pipeline.storage.base import Storage
from schemas.config import Config
from stages.stage import JobStage, ReduceStage, Stage


@dataclass(frozen=True)
class StageStatus:
    stage: str
    parts: int  # in the plan; 1 for a job
    done: int
    under_way: int
    failed: list[str]  # "part 7: why"
    pairs_in: int
    pairs_out: int
    rejected: int
    set_aside: dict[str, int]
    seconds: float  # of work, over all workers
    result: bool | None  # of a stage that merges its parts: whether that is done
    enabled: bool  # off: `phrasebox run` leaves it out, and what it has made is not read


@dataclass(frozen=True)
class RunStatus:
    root: str
    running: str  # by whom, or empty
    stages: list[StageStatus]


def run_status(storage: Storage, project: Sequence[type[Stage]], config: Config) -> RunStatus:
    plan = planned_parts(storage)
    owner = read_lock(storage)
    running = f"pid {owner.get('pid')} on {owner.get('host')}" if owner and is_alive(owner) else ""
    beats = attempts(storage) if running else []
    stages = [_stage_status(storage, stage, plan, beats, stage.enabled(config)) for stage in project]
    return RunStatus(storage.root, running, stages)


def attempts(storage: Storage) -> list[dict[str, Any]]:
    """The attempts under way, by their heartbeats."""
    return [beat for _, beat in heartbeats(storage)]


def heartbeats(storage: Storage) -> list[tuple[str, dict[str, Any]]]:
    """Path and facts of each attempt under way."""
    found = []
    for path in storage.list("state/attempts"):
        data = storage.read_or_none(path)
        try:
            found.append((path, json.loads(data or b"")))
        except ValueError:
            continue  # gone or half gone since the listing
    return found


def _stage_status(
    storage: Storage, stage: type[Stage], plan: set[int], beats: list[dict[str, Any]], enabled: bool
) -> StageStatus:
    is_job = issubclass(stage, JobStage)
    parts = {0} if is_job else plan
    counts = _counts(storage, stage.name, parts)
    return StageStatus(
        stage=stage.name,
        parts=len(parts),
        done=counts.records,
        under_way=sum(beat["stage"] == stage.name for beat in beats),
        failed=[f"{target}: {failure.error}" for target, failure in sorted(failures(storage, stage).items())],
        pairs_in=0 if is_job else counts.sums["in"],
        pairs_out=0 if is_job else counts.sums["out"],
        rejected=counts.sums["rejected"],
        set_aside=counts.set_aside,
        seconds=round(counts.sums["seconds"], 3),
        result=read_record(storage, stage.name, MERGED) is not None if issubclass(stage, ReduceStage) else None,
        enabled=enabled,
    )


@dataclass(frozen=True)
class _Counts:
    records: int
    sums: dict[str, Any]  # of in, out, rejected and seconds
    set_aside: dict[str, int]


def _counts(storage: Storage, stage: str, parts: set[int]) -> _Counts:
    """Over the records of these parts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table, newer = look_up(storage, stage, COUNTS)
    rows = [counts_row(part, record) for part, record in newer.items()]
    columns = ["part", *COUNTS]
    table = pa.concat_tables([table.select(columns), pa.Table.from_pylist(rows, schema=table.select(columns).schema)])
    table = table.filter(pc.is_in(table["part"], pa.array(sorted(parts), pa.int32())))
    aside: Counter[str] = Counter()
    for entry in table["set_aside"].value_counts().to_pylist():
        aside.update({reason: count * entry["counts"] for reason, count in json.loads(entry["values"]).items()})
    sums = {name: pc.sum(table[name]).as_py() or 0 for name in ("in", "out", "rejected", "seconds")}
    return _Counts(table.num_rows, sums, dict(sorted(aside.items())))


def as_json(status: RunStatus) -> str:
    return json.dumps({"time": time.time(), **asdict(status)}, indent=1)


def as_lines(status: RunStatus) -> list[str]:
    lines = [status.root + (f": running ({status.running})" if status.running else ": not running")]
    for stage in status.stages:
        if not stage.enabled and not stage.done:
            lines.append(f"  {stage.stage:9} off")
            continue
        text = f"  {stage.stage:9} {stage.done:,}/{stage.parts:,} {'done' if stage.done == stage.parts else 'parts'}"
        if stage.pairs_in:
            text += f", {stage.pairs_in:,} pairs in, {stage.pairs_out:,} out, {stage.rejected:,} rejected"
        text += "".join(f", {count:,} {reason}" for reason, count in stage.set_aside.items())
        if stage.under_way:
            text += f", {stage.under_way:,} under way"
        if stage.result is False and stage.done:
            text += ", result to be made"
        if not stage.enabled:
            text += "; off, so that no other stage reads it"
        lines.append(text + (f", {len(stage.failed):,} failed" if stage.failed else ""))
        lines += [f"      {failure}" for failure in stage.failed[:20]]
    return lines
