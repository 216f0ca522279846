"""Sums of all parts' summaries: keys are unique per pair, so that merging is adding."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.records import ROWS_PER_PART_LIMIT
from stages.audit.agreement import settle
from stages.audit.summary import WORST
from stages.audit.terms import DistinctMerger, Merger, Totals, of_kind
from stages.audit.vocabulary import Vocabularies, vocabularies
from stages.hashes import Hashes, hash_texts
from stages.stage import RunIO

TABLES = {"terms": ("phrases", "heads"), "copies": ("captions", "images", "image_captions")}


@dataclass
class Merged:
    """All summaries added up. `worst` holds [measure, key] by gallery; `image_pairs` is per part, for the sample."""

    counters: dict[str, Any] = field(default_factory=dict)
    worst: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    terms: dict[str, Totals] = field(default_factory=dict)
    compared: dict[str, Totals] = field(default_factory=dict)  # by the names of further teachers
    parts: list[int] = field(default_factory=list)
    planned: int = 0
    image_pairs: dict[int, int] = field(default_factory=dict)
    vocabularies: Vocabularies = field(default_factory=dict)

    def count(self, name: str) -> int:
        return int(self.counters.get(name, 0))

    def histogram(self, name: str) -> list[int]:
        return list(self.counters.get(name, []))

    def has(self, dataset: str) -> bool:
        return bool(self.counters.get("datasets", {}).get(dataset, 0))


def merge_summaries(io: RunIO, exact_phrases: int, categories: str | None = None) -> Merged:
    """Read the summaries of all parts, in ascending order. Memory: bounded by `exact_phrases`, not by the corpus."""
    merged = Merged(vocabularies=vocabularies(io, categories))
    known = names(merged.vocabularies)
    mergers: dict[str, Merger | DistinctMerger] = {kind: Merger(exact_phrases, known) for kind in TABLES["terms"]}
    mergers |= {kind: DistinctMerger(exact_phrases) for kind in TABLES["copies"]}
    teachers: dict[str, Merger] = {}
    planned = io.parts()
    files = set(io.files("summaries/audit"))
    merged.planned = len(planned)
    waiting: list[int] = []
    for done, part in enumerate(planned):
        name = f"summaries/audit/part-{part:07d}"
        if f"{name}.json" not in files:
            continue
        with io.open(f"{name}.json") as file:
            counters = json.load(file)
        _add_worst(merged.worst, counters.pop("worst", {}), part)
        merged.image_pairs[part] = counters["pairs_with_image"]
        add(merged.counters, counters)
        merged.parts.append(part)
        for table, kinds in TABLES.items():
            if f"{name}.{table}.parquet" in files:
                rows = summary_table(io, part, table)
                for kind in kinds:
                    mergers[kind].add(part, of_kind(rows, kind))
        if f"{name}.teachers.parquet" in files:
            rows = summary_table(io, part, "teachers")
            for teacher in counters.get("teachers", {}):
                teachers.setdefault(teacher, Merger(exact_phrases)).add(part, of_kind(rows, teacher))
        if f"{name}.waiting.parquet" in files:
            waiting.append(part)
        io.progress(done + 1, len(planned), "adding up")
    if "gold" in merged.counters:
        settle(merged.counters["gold"], (summary_table(io, part, "waiting") for part in waiting))
    merged.terms = {kind: merger.result() for kind, merger in mergers.items()}
    merged.compared = {teacher: merger.result() for teacher, merger in sorted(teachers.items())}
    return merged


def summary_table(io: RunIO, part: int, name: str) -> pa.Table:
    with io.open(f"summaries/audit/part-{part:07d}.{name}.parquet") as file:
        return pq.ParquetFile(pa.BufferReader(file.read())).read(use_threads=False)


def names(known: Vocabularies) -> Hashes:
    """Hashes of everything that names a category of a known vocabulary: its counts are wanted exactly."""
    texts = [text for categories in known.values() for _, texts in categories for text in texts]
    return hash_texts(texts)


def add(total: dict[str, Any], more: dict[str, Any]) -> None:
    """Add nested counters in place: numbers and lists of numbers (of any lengths) by element."""
    for name, value in more.items():
        if isinstance(value, dict):
            add(total.setdefault(name, {}), value)
        elif isinstance(value, list):
            have = total.get(name, [])
            short, long = sorted((have, value), key=len)
            total[name] = [a + b for a, b in zip(short, long)] + long[len(short) :]
        else:
            total[name] = total.get(name, 0) + value


def _add_worst(total: dict[str, list[tuple[float, int]]], more: dict[str, list[list[float]]], part: int) -> None:
    for gallery, rows in more.items():
        keys = [(measure, part * ROWS_PER_PART_LIMIT + int(row)) for measure, row in rows]
        total[gallery] = sorted(total.get(gallery, []) + keys, key=lambda entry: (-entry[0], entry[1]))[:WORST]
