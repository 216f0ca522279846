"""Going back over a run: rows that were rejected are tried again, pairs that must go are taken out of every stage."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.run.plan import REMOVED, read_removed
from pipeline.run.state import RunState
from pipeline.storage.base import Storage
from pipeline.storage.tables import read_parquet
from schemas.reasons import REJECTED
from schemas.records import part_name
from stages.stage import MapStage, UserError


def parts_with_reason(state: RunState, reason: str) -> dict[str, set[int]]:
    """The parts of each stage in which a row was rejected for this reason. Raises UserError for an unknown one."""
    if reason not in REJECTED:
        raise UserError(f"--reason {reason}: no such reason; there are {', '.join(REJECTED)}")
    found: dict[str, set[int]] = defaultdict(set)
    for stage in state.stages:
        if not issubclass(stage, MapStage) or not stage.enabled(state.config):
            continue
        for part, record in state.records(stage).parts():
            if record.counts.rejected:
                table = read_parquet(state.storage, f"rejects/{stage.name}/{part_name(part)}", ["reason"])
                if reason in table["reason"].to_pylist():
                    found[stage.name].add(part)
    return dict(found)


def read_ids(lines: Iterable[str]) -> list[str]:
    """One source id a line; empty lines do not count."""
    return list(dict.fromkeys(line.strip("\r\n") for line in lines if line.strip()))


def note_removal(storage: Storage, parts: Sequence[int], ids: Collection[str]) -> dict[str, list[int]]:
    """Adds ids to the record of what was taken out, RUN/removed.json, and returns in which parts each of them is.

    The record also holds for what is read later: a removed id does not come back with a new file of the source.
    """
    wanted = set(ids)
    where: dict[str, list[int]] = {source_id: [] for source_id in ids}
    for part in parts:
        path = f"pairs/{part_name(part)}"
        if storage.exists(path):
            for source_id in wanted & set(read_parquet(storage, path, ["source_id"])["source_id"].to_pylist()):
                where[source_id].append(part)
    known = read_removed(storage)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for source_id, found in where.items():
        entry: dict[str, Any] = known.setdefault(source_id, {"source_id": source_id, "parts": [], "date": now})
        entry["parts"] = sorted({*entry["parts"], *found})
    lines = [json.dumps(entry, ensure_ascii=False, sort_keys=True) for entry in known.values()]
    storage.write(REMOVED, ('{"removed": [\n' + ",\n".join(lines) + "\n]}\n").encode())
    return where
