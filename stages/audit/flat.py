"""One part's tables as flat numpy columns: one entry per phrase, one per box.

Rows are named by the last five digits of their key, so that datasets with gaps line up without a join.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.records import ROWS_PER_PART_LIMIT

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Tables(Protocol):
    """What a part's tables are read through (the part of PartIO that matters here)."""

    part: int

    @property
    def datasets(self) -> Sequence[str]: ...

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table: ...

    def has(self, dataset: str) -> bool: ...


@dataclass(frozen=True)
class Phrases:
    """Every phrase of a part, in the order of its rows."""

    rows: Ints  # (R,) rows of the phrases table
    row: Ints  # (P,) the row of each phrase
    start: Ints  # (P,) characters
    end: Ints  # (P,)
    norm: pa.Array  # (P,) string
    head: pa.Array  # (P,) string
    first: Ints  # (ROWS_PER_PART_LIMIT,) index of a row's first phrase, -1: the row is not in the table
    count: Ints  # (ROWS_PER_PART_LIMIT,) phrases of a row

    def index(self, row: Ints, phrase: Ints, what: str) -> Ints:
        """Index into the flat columns of phrase number `phrase` of `row`. Raises ValueError where there is none."""
        wrong = np.flatnonzero((phrase < 0) | (phrase >= self.count[row]))
        if len(wrong):
            at = wrong[0]
            raise ValueError(f"{what}, row {row[at]}: phrase {phrase[at]} of a caption with {self.count[row[at]]}")
        return self.first[row] + phrase


@dataclass(frozen=True)
class Boxes:
    """Every box of a part, in the order of its rows."""

    rows: Ints  # (R,) rows of the table
    row: Ints  # (N,)
    phrase: Ints  # (N,) index into the flat phrases
    xyxy: Floats  # (N, 4) pixels of the upright image, half-open
    score: Floats  # (N,)
    width: Floats  # (N,) of the image, pixels
    height: Floats  # (N,)

    def __len__(self) -> int:
        return len(self.row)


def rows_of(keys: pa.ChunkedArray) -> Ints:
    """The row numbers in a column of keys."""
    return numbers(pc.cast(pc.utf8_slice_codeunits(keys, 7, 12), pa.int64()))


def list_lengths(column: pa.Array) -> Ints:
    return numbers(pc.fill_null(pc.list_value_length(column), 0))


def combined(column: pa.ChunkedArray) -> pa.Array:
    chunks = column.combine_chunks()
    return chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks


def read_phrases(tables: Tables) -> Phrases:
    table = tables.read("phrases", ["key", "phrases"])
    rows = rows_of(table["key"])
    lists = combined(table["phrases"])
    lengths = list_lengths(lists)
    flat = lists.flatten()
    first = np.full(ROWS_PER_PART_LIMIT, -1, np.int64)
    count = np.zeros(ROWS_PER_PART_LIMIT, np.int64)
    first[rows] = np.cumsum(lengths) - lengths
    count[rows] = lengths
    return Phrases(
        rows=rows,
        row=np.repeat(rows, lengths),
        start=numbers(flat.field("start")).astype(np.int64),
        end=numbers(flat.field("end")).astype(np.int64),
        norm=pc.fill_null(flat.field("norm"), ""),
        head=pc.fill_null(flat.field("head"), ""),
        first=first,
        count=count,
    )


def read_boxes(tables: Tables, dataset: str, phrases: Phrases) -> Boxes:
    """The boxes of `labels` or `pseudo`. Raises ValueError where one names a phrase that its caption does not have."""
    table = tables.read(dataset, ["key", "width", "height", "boxes"])
    rows = rows_of(table["key"])
    lists = combined(table["boxes"])
    lengths = list_lengths(lists)
    flat = lists.flatten()
    row = np.repeat(rows, lengths)
    return Boxes(
        rows=rows,
        row=row,
        phrase=phrases.index(row, numbers(flat.field("phrase")).astype(np.int64), f"{dataset}, part {tables.part}"),
        xyxy=np.stack([numbers(flat.field(c)).astype(np.float64) for c in ("x1", "y1", "x2", "y2")], axis=1),
        score=numbers(flat.field("score")).astype(np.float64),
        width=np.repeat(numbers(pc.fill_null(table["width"], 0)).astype(np.float64), lengths),
        height=np.repeat(numbers(pc.fill_null(table["height"], 0)).astype(np.float64), lengths),
    )


def numbers(column: Any) -> NDArray[Any]:
    """An Arrow column as numpy; strings become objects."""
    if isinstance(column, pa.ChunkedArray):
        column = combined(column)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values
