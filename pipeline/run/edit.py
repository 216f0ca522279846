"""Going back over a run: rows that were rejected are tried again, pairs that must go are taken out of every stage."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.run.plan import REMOVED, read_removed
from pipeline.run.state import RunState
from pipeline.storage.base import Storage
from pipeline.storage.tables import read_parquet
from schemas.reasons import REJECTED
from schemas.records import part_name
from schemas.tables import PairTable, RejectTable
from stages.stage import MapStage, UserError

KEY = "key:"  # before the key of a pair, where ids are asked for


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
                path = f"rejects/{stage.name}/{part_name(part)}"
                rejects = RejectTable(read_parquet(state.storage, path, [RejectTable.reason]))
                if reason in rejects.reason.to_pylist():
                    found[stage.name].add(part)
    return dict(found)


def read_ids(lines: Iterable[str]) -> list[str]:
    """One source id a line; empty lines do not count."""
    return list(dict.fromkeys(line.strip("\r\n") for line in lines if line.strip()))


def refuse_repeated(storage: Storage, parts: Sequence[int], ids: Collection[str]) -> None:
    """Raises UserError for ids that several pairs have, with the pairs that each of them may mean."""
    found: dict[str, list[tuple[str, str]]] = {source_id: [] for source_id in ids}
    for _, pairs in _pairs(storage, parts, [PairTable.key, PairTable.source_id, PairTable.caption]):
        columns = (pairs.source_id.to_pylist(), pairs.key.to_pylist(), pairs.caption.to_pylist())
        for source_id, key, caption in zip(*columns, strict=True):
            if source_id in found:
                found[source_id].append((key, caption))
    repeated = {source_id: candidates for source_id, candidates in found.items() if len(candidates) > 1}
    if not repeated:
        return
    lines = [f"{len(repeated):,} ids are those of several pairs; name each pair by its key, in a line of the file:"]
    for source_id, candidates in list(repeated.items())[:10]:
        lines += [f"  {KEY}{key}  ({source_id}: {caption[:60]!r})" for key, caption in candidates[:10]]
        lines += [f"  ... and {len(candidates) - 10:,} more pairs of {source_id}"] if len(candidates) > 10 else []
    raise UserError("\n".join(lines))


def note_removal(storage: Storage, parts: Sequence[int], ids: Collection[str]) -> dict[str, list[int]]:
    """Adds ids to the record of what was taken out, RUN/removed.json, and returns in which parts each of them is.

    An id is a source id, or `key:` and the key of a pair.
    The record also holds for what is read later: a removed id does not come back with a new file of the source.
    """
    wanted = set(ids)
    where: dict[str, list[int]] = {source_id: [] for source_id in ids}
    for part, pairs in _pairs(storage, parts, [PairTable.key, PairTable.source_id]):
        names = {*pairs.source_id.to_pylist(), *(KEY + key for key in pairs.key.to_pylist())}
        for source_id in wanted & names:
            where[source_id].append(part)
    known = read_removed(storage)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for source_id, found in where.items():
        entry: dict[str, Any] = known.setdefault(source_id, {"source_id": source_id, "parts": [], "date": now})
        entry["parts"] = sorted({*entry["parts"], *found})
    lines = [json.dumps(entry, ensure_ascii=False, sort_keys=True) for entry in known.values()]
    storage.write(REMOVED, ('{"removed": [\n' + ",\n".join(lines) + "\n]}\n").encode())
    return where


def _pairs(storage: Storage, parts: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, PairTable]]:
    """Each part, and columns of its pairs, as far as there are any."""
    for part in parts:
        path = f"{PairTable.dataset}/{part_name(part)}"
        if storage.exists(path):
            yield part, PairTable(read_parquet(storage, path, columns))
