"""What of its input a stage did not use: said at the stage's end, and an error where nothing at all could be used.

A stage counts what it leaves aside in its notes, `notes["unused"] = {what: number}`; here it is summed over all parts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.run.failures import NothingUsableError
from pipeline.run.state import RunState
from pipeline.run.target import part_target
from pipeline.storage.tables import read_parquet
from schemas.reasons import REJECTED_GOLD
from schemas.records import part_name
from stages.stage import Stage


def unused_line(state: RunState, stage: type[Stage], beside: Mapping[str, int]) -> str:
    """`beside`: what lies in the source and belongs to no part. "" where everything was used."""
    found = Counter(beside)
    for record in state.records(stage).values():
        found.update(record.notes.get("unused", {}))
    return ", ".join(f"{number:,} {what}" for what, number in found.items())


def check_usable(state: RunState, stage: type[Stage]) -> None:
    """Of the stage that reads the source, once all parts are there. Raises NothingUsableError, with the reasons."""
    records = state.records(stage)
    if any(part_target(part) not in records for part in state.plan):
        return
    rows, used, boxes, used_boxes = 0, 0, 0, 0
    reasons: Counter[str] = Counter()
    for part in state.plan:
        record = records[part_target(part)]
        gold = record.notes.get("gold", {"in": 0, "used": 0, "rejected": {}})
        rows, used = rows + record.counts.in_, used + record.counts.out
        boxes, used_boxes = boxes + gold["in"], used_boxes + gold["used"]
        reasons.update(gold["rejected"])
    source = state.config.ingest.source
    if rows and not used:
        _fail_without_rows(state, stage, rows)
    if boxes and not used_boxes:
        why = ", ".join(f"{number:,} {reason} ({REJECTED_GOLD[reason]})" for reason, number in reasons.most_common())
        raise NothingUsableError(f"{stage.name}: none of the {boxes:,} true boxes of {source} can be used: {why}")


def _fail_without_rows(state: RunState, stage: type[Stage], rows: int) -> None:
    reasons: Counter[str] = Counter()
    first = ""
    for part in state.plan:
        path = f"rejects/{stage.name}/{part_name(part)}"
        for row in read_parquet(state.storage, path, ["source_id", "reason", "detail"]).to_pylist():
            reasons[row["reason"]] += 1
            first = first or f"{row['source_id']}: {row['reason']}" + (f", {row['detail']}" if row["detail"] else "")
    if set(reasons) == {"removed"}:
        return
    why = ", ".join(f"{number:,} {reason}" for reason, number in reasons.most_common())
    source = state.config.ingest.source
    raise NothingUsableError(f"{stage.name}: none of the {rows:,} rows of {source} can be used: {why} (first {first})")
