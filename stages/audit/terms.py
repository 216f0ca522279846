"""Distinct things and how often each occurs: phrases, heads, captions, images; counted per part and merged.

Every distinct text has a 64-bit hash (BLAKE2b). While no more than `limit` distinct hashes have been seen, counts are
exact. Beyond it the table keeps the `limit` smallest hashes: an even sample of the distinct texts, each with its exact
counts, from which distinct numbers are estimated with a relative standard error of at most 1 / sqrt(limit) (a KMV, or
theta, sketch). Beside the sample it keeps the heaviest other texts by lossy counting, whose counts may be too low by at
most `undercount`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.records import ROWS_PER_PART_LIMIT
from stages import grid
from stages.flat import Flags, FlatBoxes, FlatPhrases, Ints
from stages.hashes import Hashes, hash_texts

SUMS = ("seen", "asked", "grounded", "several", "boxes")
COMPARED = ("first", "other", "both", "same_place")  # of a phrase that two teachers were asked for, `seen` times
ADDED = (*SUMS, *COMPARED)
HEAVY = 100_000  # texts outside of the sample that are kept for the frequency table
PATIENCE = 1_000_000  # rows that may wait however few distinct texts they have
NEVER = np.iinfo(np.int64).max  # as a key: no such row
SPACE = 2.0**64


def count_terms(
    texts: pa.Array, phrases: FlatPhrases, asked: Flags, labels: FlatBoxes | None, kept: FlatBoxes | None
) -> pa.Table:
    """One row per distinct text of a part (a phrase's norm or head), sorted by hash.

    seen: phrases with this text; asked: of those, the ones that the teacher was asked for; grounded: with a kept box;
    several: with two or more; boxes: kept boxes; best: thresholds of the grid that the best labelled box is above;
    row, kept_row: the first row with the text, and the first where it has a kept box (-1: none).
    """
    encoded = texts.dictionary_encode()
    code = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    distinct = len(encoded.dictionary)
    boxes = np.zeros(len(code), np.int64) if kept is None else np.bincount(kept.phrase, minlength=len(code))
    best = np.zeros(distinct, np.int64)
    if labels is not None:
        np.maximum.at(best, code[labels.phrase], grid.passed(labels.score))

    def total(flags: NDArray[Any]) -> Ints:
        return np.bincount(code, weights=flags, minlength=distinct).astype(np.int64)

    columns = {
        "hash": hash_texts(encoded.dictionary.to_pylist()),
        "text": encoded.dictionary,
        "seen": np.bincount(code, minlength=distinct),
        "asked": total(asked),
        "grounded": total(boxes > 0),
        "several": total(boxes > 1),
        "boxes": total(boxes),
        "best": best.astype(np.uint8),
        "row": _first(code, phrases.row, np.ones(len(code), np.bool_), distinct),
        "kept_row": _first(code, phrases.row, boxes > 0, distinct),
    }
    return _sorted(pa.table(columns))


def compare_terms(texts: pa.Array, flags: dict[str, Flags]) -> pa.Table:
    """One row per distinct text (of P phrases that two teachers were asked for), sorted by hash: how often it was
    `seen`, and how often each of the flags (P,) holds."""
    encoded = texts.dictionary_encode()
    code = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    distinct = len(encoded.dictionary)
    counts = {name: np.bincount(code, weights=flag, minlength=distinct) for name, flag in flags.items()}
    columns = {
        "hash": pa.array(hash_texts(encoded.dictionary.to_pylist()), pa.uint64()),
        "text": encoded.dictionary,
        "seen": np.bincount(code, minlength=distinct),
        **{name: count.astype(np.int64) for name, count in counts.items()},
    }
    return _sorted(pa.table(columns))


def distinct_hashes(hashes: Hashes) -> pa.Table:
    """The distinct hashes, ascending."""
    return pa.table({"hash": _distinct(hashes)})


def _distinct(hashes: Hashes) -> Hashes:
    """As np.unique, whose hash table is slower than sorting for millions of values that are mostly distinct."""
    ordered = np.sort(hashes)
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered


def joined(tables: dict[str, pa.Table]) -> pa.Table:
    """Tables of several kinds of terms as one, with the column `kind` in front."""
    return pa.concat_tables(
        [table.add_column(0, "kind", pa.array([kind] * len(table), pa.string())) for kind, table in tables.items()]
    )


def of_kind(table: pa.Table, kind: str) -> pa.Table:
    """A copy of the rows of one kind, less the column `kind`: a slice would keep the memory of all kinds."""
    return table.filter(pc.equal(table["kind"], kind)).drop_columns("kind")


def _first(code: Ints, row: Ints, where: Flags, distinct: int) -> NDArray[np.int32]:
    first = np.full(distinct, -1, np.int32)
    first[code[where][::-1]] = row[where][::-1]  # written backwards, so that the first one stays
    return first


def _sorted(table: pa.Table) -> pa.Table:
    return table.take(np.argsort(table["hash"].to_numpy(), kind="stable"))


@dataclass(frozen=True)
class Totals:
    """The merged table: rows in the order of their hashes."""

    columns: dict[str, NDArray[Any]]  # hash, sums, best, key, kept_key
    text: pa.ChunkedArray | None
    theta: int  # 2**64: everything is here and exact; else the sample is what hashes below it
    undercount: int

    @property
    def exact(self) -> bool:
        return self.theta == 1 << 64

    @property
    def sampled(self) -> Flags:
        """Rows of the even sample: all of them where counts are exact."""
        if self.exact:
            return np.ones(len(self.columns["hash"]), np.bool_)
        return self.columns["hash"] < np.uint64(self.theta)

    def distinct(self, where: Flags | None = None) -> int:
        """Number of distinct texts that fulfil a condition on their row; an estimate where not exact."""
        sampled = self.sampled if where is None else self.sampled & where
        return round(int(sampled.sum()) * SPACE / self.theta)

    def relative_error(self, where: Flags | None = None) -> float:
        """Relative standard error of `distinct`; 0.0 where exact."""
        sampled = self.sampled if where is None else self.sampled & where
        return float(np.sqrt((1 - self.theta / SPACE) / max(int(sampled.sum()), 1)))

    def texts(self, index: Ints) -> list[str]:
        assert self.text is not None
        return [str(text) for text in self.text.take(index).to_pylist()]


class DistinctMerger:
    """Counts the distinct hashes of parts, and nothing else: the sketch above without the columns beside the hashes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.theta = 1 << 64
        self._waiting: list[Hashes] = []
        self._number = 0

    def add(self, part: int, table: pa.Table) -> None:
        hashes = table["hash"].to_numpy()
        if self.theta < 1 << 64:
            hashes = hashes[hashes < np.uint64(self.theta)]
        self._waiting.append(hashes)
        self._number += len(hashes)
        if self._number > 2 * self.limit:
            self._compact()

    def result(self) -> Totals:
        self._compact()
        return Totals({"hash": self._waiting[0]}, None, self.theta, 0)

    def _compact(self) -> None:
        hashes = _distinct(np.concatenate([np.zeros(0, np.uint64), *self._waiting]))
        if len(hashes) > self.limit:
            self.theta = int(hashes[self.limit])
        self._waiting = [hashes[: self.limit]]
        self._number = len(self._waiting[0])


class Merger:
    """Adds up the term tables of parts, in bounded memory. Add parts in ascending order, then take `result`.

    What is in `keep` (hashes) is never dropped, so that its counts are exact whatever else there is.
    """

    def __init__(self, limit: int, keep: Hashes | None = None) -> None:
        self.limit = limit
        self.keep = np.zeros(0, np.uint64) if keep is None else keep
        self.theta = 1 << 64
        self.undercount = 0
        self._tables: list[pa.Table] = []
        self._waiting = 0
        self._held = 0  # rows left by the last compaction

    def add(self, part: int, table: pa.Table) -> None:
        base = part * ROWS_PER_PART_LIMIT
        for name, key in (("row", "key"), ("kept_row", "kept_key")):
            if name in table.column_names:
                row = table[name].to_numpy().astype(np.int64)
                keys = pa.array(np.where(row < 0, NEVER, row + base))
                table = table.set_column(table.schema.get_field_index(name), key, keys)
        for name in ADDED:
            if name in table.column_names:
                at = table.schema.get_field_index(name)
                table = table.set_column(at, name, table[name].cast(pa.int64()))
        self._tables.append(table)
        self._waiting += len(table)
        if self._waiting > min(2 * self.limit, max(2 * self._held, PATIENCE)):
            self._compact()

    def result(self) -> Totals:
        if self._tables:
            self._compact()
        table = self._tables[0] if self._tables else _nothing()
        columns = {name: table[name].to_numpy() for name in table.column_names if name != "text"}
        text = table["text"] if "text" in table.column_names else None
        return Totals(columns, text, self.theta, self.undercount)

    def _compact(self) -> None:
        table = self._prune(_grouped(pa.concat_tables(self._tables)))
        self._tables = [table]
        self._waiting = len(table)
        self._held = len(table)

    def _prune(self, table: pa.Table) -> pa.Table:
        """Keep the `limit` smallest hashes, and the heaviest of the others. Rows come in the order of their hashes."""
        hashes = table["hash"].to_numpy()
        if len(hashes) > self.limit:
            self.theta = min(self.theta, int(hashes[self.limit]))
        inside = int(np.searchsorted(hashes, self.theta)) if self.theta < 1 << 64 else len(hashes)
        others = table.slice(inside)
        heavy = min(self.limit, HEAVY)
        if len(others) <= heavy:
            return table
        weight = others["seen"].to_numpy()
        if "boxes" in others.column_names:
            weight = np.maximum(weight, others["boxes"].to_numpy())
        weight = np.where(np.isin(others["hash"].to_numpy(), self.keep), NEVER, weight)
        order = np.argsort(-weight, kind="stable")
        heavy = max(heavy, int((weight == NEVER).sum()))
        self.undercount += int(weight[order[heavy:]].max(initial=0))
        return pa.concat_tables([table.slice(0, inside), others.take(np.sort(order[:heavy]))])


def _nothing() -> pa.Table:
    """What no part has any of."""
    numbers = ("hash", *SUMS, "best", "key", "kept_key")
    kinds = [pa.uint64(), *[pa.int64()] * len(SUMS), pa.uint8(), pa.int64(), pa.int64()]
    return pa.schema([("text", pa.string()), *zip(numbers, kinds)]).empty_table()


def _grouped(table: pa.Table) -> pa.Table:
    """One row per hash, in ascending order: sums added, the best kept, keys the earliest."""
    hashes = table["hash"].to_numpy()
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, np.int64)
    columns: dict[str, Any] = {"hash": ordered[starts]}
    for name in table.column_names:
        if name == "text":
            columns[name] = table[name].take(order[starts])
        elif name != "hash":
            how = np.add if name in ADDED else np.maximum if name == "best" else np.minimum
            values = table[name].to_numpy()[order]
            columns[name] = how.reduceat(values, starts) if len(starts) else values
    return pa.table(columns)
