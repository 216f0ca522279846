"""plan.json: which share of the source each part is. Numbers are given once: files added later get new ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.run.fingerprint import canonical
from pipeline.storage.base import Storage
from stages.stage import Slice, UserError

PLAN = "plan.json"
REMOVED = "removed.json"  # what `phrasebox remove` took out of the source
Plan = dict[int, Slice]


def slice_to_json(piece: Slice) -> dict[str, Any]:
    return {**asdict(piece), "extra": dict(piece.extra)}


def slice_from_json(data: Mapping[str, Any]) -> Slice:
    """Raises TypeError."""
    piece = Slice(**data)
    if not all(isinstance(number, int) for number in (piece.start, piece.stop, piece.size)):
        raise TypeError("a row that is no number")
    return piece


def extend(known: Plan, found: Iterable[Slice]) -> Plan:
    """The new plan: slices of the old one keep their numbers, new ones get the next free numbers, the rest goes."""
    numbers: dict[bytes, list[int]] = {}
    for number, piece in sorted(known.items(), reverse=True):
        numbers.setdefault(canonical(slice_to_json(piece)), []).append(number)
    kept, added = {}, []
    for piece in found:
        free = numbers.get(canonical(slice_to_json(piece)))
        if free:
            kept[free.pop()] = piece
        else:
            added.append(piece)
    first = max(known, default=-1) + 1 if kept else 0
    return {**dict(sorted(kept.items())), **dict(enumerate(added, first))}


def read_plan(storage: Storage) -> Plan:
    """Empty where there is none yet. Raises UserError for one that cannot be read."""
    try:
        return {int(entry.pop("part")): slice_from_json(entry) for entry in _entries(storage)}
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(storage, error) from None


def planned_parts(storage: Storage) -> set[int]:
    """The numbers alone."""
    try:
        return {int(entry["part"]) for entry in _entries(storage)}
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(storage, error) from None


def _entries(storage: Storage) -> list[dict[str, Any]]:
    data = storage.read_or_none(PLAN)
    try:
        parts: list[dict[str, Any]] = json.loads(data)["parts"] if data is not None else []
        return [dict(entry) for entry in parts]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(storage, error) from None


def _damaged(storage: Storage, error: Exception, name: str = PLAN) -> UserError:
    return UserError(f"{storage.root}/{name} is damaged ({error!r}); restore it, or start a new run folder")


def write_plan(storage: Storage, plan: Plan) -> None:
    lines = [json.dumps({"part": number, **slice_to_json(piece)}, sort_keys=True) for number, piece in plan.items()]
    storage.write(PLAN, ('{"parts": [\n' + ",\n".join(lines) + "\n]}\n").encode())


def read_removed(storage: Storage) -> dict[str, dict[str, Any]]:
    """By source id: {source_id, parts in which it was found, date}."""
    data = storage.read_or_none(REMOVED)
    try:
        entries: list[dict[str, Any]] = json.loads(data)["removed"] if data is not None else []
        return {entry["source_id"]: {**entry, "parts": [int(part) for part in entry["parts"]]} for entry in entries}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(storage, error, REMOVED) from None  # to go on without it would bring back what had to go
