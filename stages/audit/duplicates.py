"""What curate has set aside, as figures of the report: reasons, groups of copies, leaks, and what a threshold decides.

Of each pair that has another one in its place, memory holds two keys; everything else is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from schemas.records import ROWS_PER_PART_LIMIT, make_key
from stages.audit.alike import SETTINGS, by_threshold, drawn, is_told, likeness_of
from stages.audit.curation import SEPARATOR, Counts, rolled_up
from stages.audit.merge import summary_table
from stages.audit.second_opinion import by_cosine
from stages.curate.benchmarks import name_of
from stages.flat import Flags, Ints
from stages.stage import RunIO

if TYPE_CHECKING:
    from schemas.config import Config, CurateConfig

GROUPS, COPIES = 12, 5  # groups that are listed, and copies of each beside the kept pair
LEAST_ALIKE = 8
LEAKS, LEAKED = 8, 3  # images of benchmarks that are listed, and pairs of each
SIZES = 20  # larger groups are counted with those of so many pairs

Known = dict[int, float]  # likeness to the kept image, by row of `Replaced`


@dataclass
class Leak:
    """What is set aside for an image of a benchmark."""

    pairs: int = 0
    first: list[int] = field(default_factory=list)  # keys, LEAKED of them


@dataclass(frozen=True)
class Replaced:
    """The M pairs in whose place another pair is kept, in the order of their keys; leaks by the benchmark's image."""

    pair: Ints  # (M,) keys as numbers
    kept: Ints  # (M,)
    near: Flags  # (M,) not for its bytes
    leaks: dict[str, Leak]


def duplicate_figures(io: RunIO, counted: Counts, config: Config) -> dict[str, Any]:
    """The key `curation` of stats.json, less clusters. `counted`: what the parts have counted, added up."""
    found = read_replaced(io)
    return {
        **{name: counted[name] for name in ("pairs", "kept")},
        "set_aside": dict(sorted(counted["set_aside"].items())),
        "sources": source_figures(counted["sources"]),
        **group_figures(io, found, config.curate),
        "leaks": leak_figures(found.leaks, [name_of(entry) for entry in config.curate.against]),
        "similarity": similarity_figures(counted, config.curate),
    }


def read_replaced(io: RunIO) -> Replaced:
    """From the summaries of all parts."""
    pair, kept, near = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    leaks: dict[str, Leak] = {}
    files = set(io.files("summaries/audit"))
    for part in io.parts():
        if f"summaries/audit/part-{part:07d}.curation.parquet" not in files:
            continue
        table = summary_table(io, part, "curation")
        leaked = pc.equal(table["reason"], "benchmark_leak")
        for name, row in zip(*(table.filter(leaked)[column].to_pylist() for column in ("duplicate_of", "row"))):
            leak = leaks.setdefault(name, Leak())
            leak.pairs += 1
            leak.first = [*leak.first, part * ROWS_PER_PART_LIMIT + row][:LEAKED]
        copies = table.filter(pc.invert(leaked))
        pair.append(copies["row"].to_numpy().astype(np.int64) + part * ROWS_PER_PART_LIMIT)
        kept.append(copies["duplicate_of"].cast("int64").to_numpy())
        near.append(pc.equal(copies["reason"], "near_duplicate").to_numpy())
    return Replaced(np.concatenate(pair), np.concatenate(kept), np.concatenate(near), leaks)


def source_figures(counts: Counts) -> list[dict[str, Any]]:
    """Those with most pairs set aside first, by their names below the folder that all of them lie in."""
    found = rolled_up(counts)
    paths = {name: name.split(SEPARATOR) for name in found}
    folders = zip(*(path[:-1] for name, path in paths.items() if name), strict=False)  # of each depth
    shared = len([*takewhile(lambda names: len(set(names)) == 1, folders)])
    rows = [{"source": SEPARATOR.join(paths[name][shared:]), **own} for name, own in found.items()]
    return sorted(rows, key=lambda row: (-sum(row["set_aside"].values()), row["source"]))


def group_figures(io: RunIO, found: Replaced, config: CurateConfig) -> dict[str, Any]:
    """Groups of pairs of which one is kept, and the largest ones with their first copies; of near duplicates, what
    another threshold would find."""
    kept, counts = np.unique(found.kept, return_counts=True)
    largest = np.lexsort((kept, -counts))[:GROUPS]
    members = [np.flatnonzero(found.kept == kept[group])[:COPIES] for group in largest]
    told, sample = is_told(io, config), drawn(np.flatnonzero(found.near))
    known = known_likeness(io, found, np.concatenate([sample, *members]), config) if told else {}
    return {
        "groups": len(kept),
        "in_groups": int(counts.sum()) + len(kept),
        "group_sizes": np.bincount(np.minimum(counts + 1, SIZES), minlength=SIZES + 1)[2:].tolist(),
        "largest_groups": [
            {
                "kept": key_of(kept[group]),
                "pairs": int(counts[group]) + 1,
                "copies": [_copy(found, row, known) for row in own.tolist()],
            }
            for group, own in zip(largest, members, strict=True)
        ],
        "threshold": threshold_figures(found, sample, known, config) if told else None,
    }


def known_likeness(io: RunIO, found: Replaced, rows: Ints, config: CurateConfig) -> Known:
    """Of those of these rows that are near duplicates, the likeness to the kept pair, in numpy's own numbers, which are
    compared as curate compares them; NaN: not to be told."""
    near = np.unique(rows[found.near[rows]])
    likeness = likeness_of(io, config, found.pair[near], found.kept[near])
    return dict(zip(near.tolist(), likeness, strict=True))


def threshold_figures(found: Replaced, sample: Ints, known: Known, config: CurateConfig) -> dict[str, Any]:
    """What thresholds from the run's own up would find, and the near duplicates that are least like what is kept."""
    setting = SETTINGS[config.duplicates]
    least, likeness = getattr(config, setting), np.array([known[row] for row in sample.tolist()])
    order = sample[np.argsort(likeness, kind="stable")]  # NaN comes last
    whole = int(found.near.sum())
    return {
        "setting": setting,
        "value": least,
        "near_duplicates": whole,
        "measured": len(sample),
        "by_threshold": by_threshold(likeness, least, whole),
        "least_alike": [
            {"kept": key_of(found.kept[row]), **_copy(found, row, known)} for row in order[:LEAST_ALIKE].tolist()
        ],
    }


def leak_figures(leaks: Mapping[str, Leak], benchmarks: Sequence[str]) -> dict[str, Any] | None:
    """By benchmark, and by image the ones with most pairs."""
    if not leaks:
        return None
    owners: dict[str, dict[str, int]] = {}
    for name, leak in leaks.items():
        mine = owners.setdefault(_owner(name, benchmarks), {"pairs": 0, "images": 0})
        mine["pairs"] += leak.pairs
        mine["images"] += 1
    most = sorted(leaks, key=lambda name: (-leaks[name].pairs, name))[:LEAKS]
    return {
        "benchmarks": [{"benchmark": name, **own} for name, own in sorted(owners.items())],
        "most": [
            {"image": name, "pairs": leaks[name].pairs, "copies": [key_of(key) for key in leaks[name].first]}
            for name in most
        ],
    }


def _owner(name: str, benchmarks: Sequence[str]) -> str:
    """The benchmark of BENCHMARK:ID. Either may have colons of its own."""
    known = [benchmark for benchmark in benchmarks if name.startswith(f"{benchmark}:")]
    return max(known, key=len, default=name.partition(":")[0])


def similarity_figures(counted: Counts, config: CurateConfig) -> dict[str, Any] | None:
    """How many pairs have a similarity of caption and image that each `min_similarity` would leave."""
    passed = np.array(counted.get("similarity", []), np.int64)
    if not passed.any():
        return None
    return {
        "pairs": int(passed.sum()),
        "value": config.min_similarity,
        "by_threshold": by_cosine(passed, "pairs"),
    }


def _copy(found: Replaced, row: int, known: Known) -> dict[str, Any]:
    """A pair, why it is set aside, and its likeness to the kept one; None: the same bytes, or not to be told."""
    likeness = float(known.get(row, np.nan))
    return {
        "pair": key_of(found.pair[row]),
        "reason": "near_duplicate" if found.near[row] else "exact_duplicate",
        "likeness": None if np.isnan(likeness) else round(likeness, 4),
    }


def key_of(number: int) -> str:
    return make_key(*divmod(int(number), ROWS_PER_PART_LIMIT))
