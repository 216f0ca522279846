"""The words at the end of a run, from its commit records alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.run.producers import side_tables
from pipeline.run.state import RunState
from pipeline.run.target import JOB, MERGED, Target, result_of
from pipeline.storage.tables import read_parquet
from schemas.commit import CommitRecord
from schemas.reasons import REJECTED
from schemas.records import part_name
from stages.evaluate.stage import COUNTED
from stages.stage import MapStage

SHARES = {"precision", "recall", "mean_iou"}  # all else that is measured is percent


def summary(state: RunState) -> list[str]:
    """Lines for a person: pairs, rejects and why, boxes, phrases, AP, and where shards and report are."""
    by_name = {stage.name: stage for stage in state.stages}

    def parts(name: str) -> list[CommitRecord]:
        return [record for _, record in state.records(by_name[name]).parts()] if name in by_name else []

    def notes(name: str, target: Target) -> dict[str, Any]:
        record = state.records(by_name[name]).get(target) if name in by_name else None
        return record.notes if record is not None else {}

    lines = [_pairs(state, parts("ingest"), parts("label"))]
    lines += _gold(parts("ingest"))
    lines += _side_tables(state)
    audit = notes("audit", MERGED)
    if audit and sum(record.counts.out for record in parts("filter")):
        lines.append(f"boxes      {audit['boxes']:,} kept, {audit['unique_phrases']:,} unique phrases")
    elif audit:  # of captions alone, or before labelling
        lines.append(f"phrases    in {audit['pairs_with_phrases']:,} of {audit['pairs']:,} captions")
    lines += [f"{role:10} {_headline(found)}" for role, found in notes("evaluate", JOB).items() if role != "inputs"]
    root = state.storage.root
    if samples := sum(record.counts.out for record in parts("shard")):
        lines.append(f"shards     {root}/shards ({samples:,} samples)")
    if audit:
        warnings = f" (warnings: {audit['warnings']:,})" if audit.get("warnings") else ""
        lines.append(f"report     {root}/report/index.html{warnings}")
    lines += [f"start      {encoder}: {words}" for encoder, words in notes("train", JOB).get("start", {}).items()]
    if not notes("train", JOB).get("event_files", True):
        lines.append(f"metrics    {root}/student/metrics.jsonl (curves: pip install 'phrasebox[tensorboard]')")
    return lines


def _pairs(state: RunState, ingested: list[CommitRecord], labelled: list[CommitRecord]) -> str:
    text = f"pairs      {sum(record.counts.in_ for record in ingested):,} in"
    if labelled:
        text += f", {sum(record.counts.out for record in labelled):,} labelled"
    reasons = rejected_by_reason(state)
    text += f", {reasons.total():,} rejected"
    if reasons:
        text += f" ({_by_reason(reasons)})"
    return text


def _gold(ingested: list[CommitRecord]) -> list[str]:
    """Of how many true boxes the source has, a box once for each caption of its image."""
    counted = [record.notes["gold"] for record in ingested if "gold" in record.notes]
    total, used = sum(gold["in"] for gold in counted), sum(gold["used"] for gold in counted)
    return [f"gold       {used:,} of {total:,} true boxes used"] if counted else []


def _side_tables(state: RunState) -> list[str]:
    """What optional stages have added, and what later stages set aside for it."""
    lines = []
    for producer in side_tables(stage for stage in state.stages if stage.enabled(state.config)):
        records, folder = state.records(producer.stage), producer.output.folder
        if producer.by_result:
            result = records.get(result_of(producer.stage))
            made = sum(entry.path.startswith(f"{folder}/") for entry in result.files) if result is not None else 0
        else:
            made = sum(target.kind == "part" for target in records)
        if made:
            lines.append(f"{folder:10} {made:,} parts, beside {producer.output.aligned_with}")
    aside: Counter[str] = Counter()
    for stage in state.stages:
        if any(item.keep for item in state.inputs(stage)):
            for _, record in state.records(stage).parts():
                aside.update(record.counts.set_aside)
    if aside:
        lines.append(f"set aside  {aside.total():,} (" + _by_reason(aside) + ")")
    return lines


def _by_reason(reasons: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())


def rejected_by_reason(state: RunState) -> Counter[str]:
    """Counted from the rejects files of parts that have any."""
    found: Counter[str] = Counter()
    for stage in state.stages:
        if not issubclass(stage, MapStage) or not stage.enabled(state.config):
            continue
        for part, record in state.records(stage).parts():
            if record.counts.rejected:
                table = read_parquet(state.storage, f"rejects/{stage.name}/{part_name(part)}", ["reason"])
                found.update(reason for reason in table["reason"].to_pylist() if reason in REJECTED)
    return found


def _headline(figures: dict[str, Any]) -> str:
    words = [f"{name} {value:.{3 if name in SHARES else 1}f}" for name, value in figures.items() if name not in COUNTED]
    return ", ".join([*words, *(f"{figures[name]:,} {name}" for name in COUNTED if name in figures)])
