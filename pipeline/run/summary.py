"""The words at the end of a run, from its commit records alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.run.state import RunState
from schemas.reasons import REJECTED
from stages.evaluate.stage import FAILED

SHARES = {"precision", "recall", "mean_iou"}  # all else that is measured is percent


def summary(state: RunState) -> list[str]:
    """Lines for a person: pairs, rejects and why, boxes, phrases, AP, and where shards and report are."""
    by_name = {stage.name: stage for stage in state.stages}

    def parts(name: str) -> list[Any]:
        if name not in by_name:
            return []
        return [record for part, record in state.records(by_name[name]).items() if part is not None]

    def notes(name: str, part: int | None) -> dict[str, Any]:
        record = state.records(by_name[name]).get(part) if name in by_name else None
        return record.notes if record is not None else {}

    lines = [_pairs(state, parts("ingest"), parts("label"))]
    audit = notes("audit", None)
    if audit and sum(record.counts.out for record in parts("filter")):
        lines.append(f"boxes      {audit['boxes']:,} kept, {audit['unique_phrases']:,} unique phrases")
    elif audit:  # of captions alone, or before labelling
        lines.append(f"phrases    in {audit['pairs_with_phrases']:,} of {audit['pairs']:,} captions")
    lines += [f"{role:10} {_headline(found)}" for role, found in notes("evaluate", 0).items() if role != "inputs"]
    root = state.storage.root
    if samples := sum(record.counts.out for record in parts("shard")):
        lines.append(f"shards     {root}/shards ({samples:,} samples)")
    if audit:
        lines.append(f"report     {root}/report/index.html")
    return lines


def _pairs(state: RunState, ingested: list[Any], labelled: list[Any]) -> str:
    text = f"pairs      {sum(record.counts.in_ for record in ingested):,} in"
    if labelled:
        text += f", {sum(record.counts.out for record in labelled):,} labelled"
    reasons = rejected_by_reason(state)
    text += f", {reasons.total():,} rejected"
    if reasons:
        text += " (" + ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common()) + ")"
    return text


def rejected_by_reason(state: RunState) -> Counter[str]:
    """Counted from the rejects files of parts that have any."""
    from pipeline.storage.files import SourceFiles
    from schemas.records import part_name

    files = SourceFiles(state.storage)
    found: Counter[str] = Counter()
    for stage in state.stages:
        for part, record in state.records(stage).items():
            if record.counts.rejected and part is not None and stage.kind == "map":
                table = files.read_table(f"rejects/{stage.name}/{part_name(part)}", ["reason"])
                found.update(reason for reason in table["reason"].to_pylist() if reason in REJECTED)
    return found


def _headline(figures: dict[str, Any]) -> str:
    words = [f"{name} {value:.{3 if name in SHARES else 1}f}" for name, value in figures.items() if name != FAILED]
    return ", ".join([*words, *([f"{figures[FAILED]:,} {FAILED}"] if FAILED in figures else [])])
