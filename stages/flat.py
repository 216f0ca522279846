"""All phrases, labelled boxes and true boxes of a part as flat numpy columns that name each other by index.

Rows are named by the row number in their key, so that datasets with gaps line up without a join.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.records import ROWS_PER_PART_LIMIT
from schemas.tables import GoldTable, LabelTable, PhraseTable, PseudoTable, TableView
from stages.agreement import Characters

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class FlatPhrases:
    """Every phrase of a part, in the order of its rows."""

    rows: Ints  # (R,) rows of the phrases table
    row: Ints  # (P,) the row of each phrase
    start: NDArray[np.int32]  # (P,) characters
    end: NDArray[np.int32]  # (P,)
    norm: pa.StringArray  # (P,)
    head: pa.StringArray  # (P,)
    first: Ints  # (ROWS_PER_PART_LIMIT,) index of a row's first phrase, -1: the row is not in the table
    count: Ints  # (ROWS_PER_PART_LIMIT,) phrases of a row

    @classmethod
    def of(cls, table: PhraseTable) -> FlatPhrases:
        rows, phrases = table.numbers, table.phrases
        first = np.full(ROWS_PER_PART_LIMIT, -1, np.int64)
        count = np.zeros(ROWS_PER_PART_LIMIT, np.int64)
        first[rows], count[rows] = phrases.offsets[:-1], phrases.lengths
        norm, head = (pc.fill_null(texts, "") for texts in (phrases.norm, phrases.head))
        return cls(rows, rows[phrases.row], phrases.start, phrases.end, norm, head, first, count)

    @property
    def characters(self) -> Characters:
        return Characters(self.row, self.start, self.end)

    def index(self, table: TableView[Any], row: Ints, phrase: NDArray[np.int32]) -> Ints:
        """Index into the flat columns (N,) of the phrases (N,) of some rows (N,) of a table, counted in their row.

        Raises ValueError where there is no such phrase.
        """
        number = table.numbers[row]
        wrong = np.flatnonzero((phrase < 0) | (phrase >= self.count[number]))
        if len(wrong):
            at = wrong[0]
            has = f"phrase {phrase[at]} of a caption with {self.count[number[at]]}"
            raise ValueError(f"{table.dataset}, key {table.key[row[at]]}: {has}")
        return self.first[number] + phrase


def asked_phrases(phrases: FlatPhrases, labels: LabelTable | None) -> Flags:
    """Which phrases (P,) the teacher was asked for: those of labelled rows, less what the label stage dropped."""
    if labels is None:
        return np.zeros(len(phrases.row), np.bool_)
    asked = np.isin(phrases.row, labels.numbers)
    asked[phrases.index(labels, labels.dropped.row, labels.dropped.phrase)] = False
    return asked


@dataclass(frozen=True)
class FlatBoxes:
    """Every box of a part, in the order of its rows."""

    rows: Ints  # (R,) rows of the table
    row: Ints  # (N,)
    phrase: Ints  # (N,) index into the flat phrases
    xyxy: Floats  # (N, 4) pixels of the upright image, half-open
    score: Floats  # (N,)
    width: Floats  # (N,) of the image, pixels
    height: Floats  # (N,)

    @classmethod
    def of(cls, table: LabelTable | PseudoTable, phrases: FlatPhrases) -> FlatBoxes:
        """Raises ValueError where a box names a phrase that its caption does not have."""
        boxes, row = table.boxes, table.boxes.row
        return cls(
            rows=table.numbers,
            row=table.numbers[row],
            phrase=phrases.index(table, row, boxes.phrase),
            xyxy=boxes.xyxy.astype(np.float64),
            score=boxes.score.astype(np.float64),
            width=table.width[row].astype(np.float64),
            height=table.height[row].astype(np.float64),
        )

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class FlatGold:
    """True boxes of a part, flat (N,), and the spans that they belong to, flat (S,)."""

    rows: Ints  # (R,) rows of the gold table
    row: Ints  # (N,)
    span: Ints  # (N,) index into the flat spans; -1: none, S: one that the row does not have
    xyxy: Floats  # (N, 4)
    category: pa.StringArray  # (N,) lower case
    spans: Characters  # (S,)
    looked_for: tuple[str, ...] = ()  # categories, lower case, where the source lists them

    @classmethod
    def of(cls, table: GoldTable, looked_for: Iterable[str] = ()) -> FlatGold:
        rows, boxes, spans = table.numbers, table.boxes, table.spans
        flat = np.where(boxes.span < spans.lengths[boxes.row], spans.offsets[boxes.row] + boxes.span, len(spans))
        return cls(
            rows=rows,
            row=rows[boxes.row],
            span=np.where(boxes.span >= 0, flat, -1),
            xyxy=boxes.xyxy.astype(np.float64),
            category=pc.utf8_lower(pc.fill_null(boxes.category, "")),
            spans=Characters(rows[spans.row], spans.start, spans.end),
            looked_for=tuple(name.lower() for name in looked_for),
        )
