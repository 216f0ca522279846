"""`phrasebox status`: what is done, under way, failed and rejected, from the plan, the records and the state alone."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.commits import RESULT, read_record, read_records
from pipeline.failures import failures
from pipeline.lock import is_alive, read_lock
from pipeline.plan import read_plan
from pipeline.storage import Storage


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


@dataclass(frozen=True)
class RunStatus:
    root: str
    running: str  # by whom, or empty
    stages: list[StageStatus]


def run_status(storage: Storage, project: Sequence[type[Any]]) -> RunStatus:
    plan = read_plan(storage)
    owner = read_lock(storage)
    running = f"pid {owner['pid']} on {owner['host']}" if owner and is_alive(owner) else ""
    beats = attempts(storage) if running else []
    stages = [_stage_status(storage, stage, set(plan), beats) for stage in project]
    return RunStatus(storage.root, running, stages)


def attempts(storage: Storage) -> list[dict[str, Any]]:
    """The attempts under way, by their heartbeats."""
    found = []
    for path in storage.list("state/attempts"):
        data = storage.read_or_none(path)
        try:
            found.append(json.loads(data or b""))
        except ValueError:
            continue  # gone or half gone since the listing
    return found


def _stage_status(storage: Storage, stage: type[Any], plan: set[int], beats: list[dict[str, Any]]) -> StageStatus:
    parts = {0} if stage.kind == "job" else plan
    records = [record for part, record in read_records(storage, stage.name).items() if part in parts]
    aside: dict[str, int] = {}
    for record in records:
        for reason, count in record.counts.set_aside.items():
            aside[reason] = aside.get(reason, 0) + count
    failed = sorted(failures(storage, stage.name).items(), key=lambda item: -1 if item[0] is None else item[0])
    return StageStatus(
        stage=stage.name,
        parts=len(parts),
        done=len(records),
        under_way=sum(beat["stage"] == stage.name for beat in beats),
        failed=[f"{RESULT if part is None else f'part {part}'}: {failure.error}" for part, failure in failed],
        pairs_in=0 if stage.kind == "job" else sum(record.counts.in_ for record in records),
        pairs_out=0 if stage.kind == "job" else sum(record.counts.out for record in records),
        rejected=sum(record.counts.rejected for record in records),
        set_aside=dict(sorted(aside.items())),
        seconds=round(sum(record.seconds for record in records), 3),
        result=read_record(storage, stage.name, None) is not None if hasattr(stage, "merge") else None,
    )


def as_json(status: RunStatus) -> str:
    return json.dumps({"time": time.time(), **asdict(status)}, indent=1)


def as_lines(status: RunStatus) -> list[str]:
    lines = [status.root + (f": running ({status.running})" if status.running else ": not running")]
    for stage in status.stages:
        text = f"  {stage.stage:9} {stage.done:,}/{stage.parts:,} {'done' if stage.done == stage.parts else 'parts'}"
        if stage.pairs_in:
            text += f", {stage.pairs_in:,} pairs in, {stage.pairs_out:,} out, {stage.rejected:,} rejected"
        text += "".join(f", {count:,} {reason}" for reason, count in stage.set_aside.items())
        if stage.under_way:
            text += f", {stage.under_way:,} under way"
        if stage.result is False and stage.done:
            text += ", result to be made"
        lines.append(text + (f", {len(stage.failed):,} failed" if stage.failed else ""))
        lines += [f"      {failure}" for failure in stage.failed[:20]]
    return lines
