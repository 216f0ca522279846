"""The tables of a part with typed columns, without a Python object per row.

    labels = LabelTable.read(io, LabelTable.key, LabelTable.boxes)
    sure = labels.boxes.keep(labels.boxes.score > 0.5)
    sure.xyxy, sure.row  # (N, 4) float32; (N,) which row of the table each box belongs to

On the class a column is its name, on a view its values: numbers as numpy arrays, strings as Arrow arrays, lists as
`schemas.items`. `records` gives the rows as Python objects (`schemas.rows`) where that is what is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

import pyarrow as pa
import pyarrow.compute as pc

from schemas import items, rows
from schemas.arrow import array_of, combined, rows_of, schema_of_record, table_of
from schemas.items import Ints, arrow, flags, numbers, text

Value = TypeVar("Value")
Row = TypeVar("Row")
Self = TypeVar("Self", bound="TableView[Any]")


class PartReader(Protocol):
    """What a view is read through: one part of a run."""

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table: ...


class RunReader(Protocol):
    """The same for any part of a run."""

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table: ...


class Column(Generic[Value]):
    """A column of a view: its name on the class, its values, converted at the first access, on a view."""

    def __init__(self, convert: Callable[[Any], Value]) -> None:
        self._convert = convert

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, view: None, owner: type) -> str: ...

    @overload
    def __get__(self, view: TableView[Any], owner: type) -> Value: ...

    def __get__(self, view: TableView[Any] | None, owner: type) -> str | Value:
        if view is None:
            return self.name
        if self.name not in view.values:
            view.values[self.name] = self._convert(combined(view.table[self.name]))
        value: Value = view.values[self.name]
        return value


class TableView(Generic[Row]):
    """A dataset's table. A column that was not read raises KeyError."""

    dataset: ClassVar[str]
    record: type[Row]
    key = Column(text)

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.values: dict[str, Any] = {}  # of the columns that were accessed

    @classmethod
    def read(cls: type[Self], io: PartReader, *columns: str) -> Self:
        """These columns of the part; none named: all."""
        return cls(io.read(cls.dataset, list(columns) or None))

    @classmethod
    def read_part(cls: type[Self], io: RunReader, part: int, *columns: str) -> Self:
        """These columns of one part of a run; none named: all."""
        return cls(io.read_part(cls.dataset, part, list(columns) or None))

    @classmethod
    def of_columns(cls: type[Self], **columns: Any) -> Self:
        """A new table from all of its columns: numpy arrays, `Items`, Arrow arrays, or lists of Python values.

        Raises ValueError where a column is missing or none of the dataset, ArrowInvalid or TypeError for values of
        another type.
        """
        schema = schema_of_record(cls.record)
        if set(columns) != set(schema.names):
            raise ValueError(f"{cls.dataset} has the columns {', '.join(schema.names)}, not {', '.join(columns)}")
        return cls(pa.table([arrow(columns[field.name], field.type) for field in schema], schema=schema))

    @classmethod
    def of_records(cls: type[Self], records: Iterable[Any]) -> Self:
        """A new table from its rows. Raises ArrowInvalid, ArrowTypeError or TypeError for a value of another type."""
        return cls(table_of(records, cls.record))

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def records(self) -> list[Row]:
        """The rows as Python objects."""
        return rows_of(self.table, self.record)

    def aligned(self: Self, key: pa.StringArray) -> Self:
        """The rows of these keys, in their order. Raises ValueError for a key that the table does not have."""
        if self.key.equals(key):
            return self
        found = pc.index_in(key, value_set=self.key)
        if found.null_count:
            missing = key.filter(pc.is_null(found))
            raise ValueError(f"{self.dataset} lacks {len(missing)} keys that it should have, e.g. {missing[0]}")
        return type(self)(self.table.take(found))

    @cached_property
    def numbers(self) -> Ints:
        """(R,): the row number in each key, by which the datasets of a part line up though rows may be missing."""
        digits = pc.utf8_slice_codeunits(self.key, 7, 12)
        return numbers(pc.cast(digits, pa.int64()))


class PairTable(TableView[rows.Pair]):
    dataset = "pairs"
    record = rows.Pair
    source_id = Column(text)
    caption = Column(text)
    image = Column(items.ImageRefs.of)
    width = Column(numbers)
    height = Column(numbers)
    orientation = Column(numbers)
    sha256 = Column(text)
    license = Column(text)
    url = Column(text)


class GoldTable(TableView[rows.GoldRow]):
    dataset = "gold"
    record = rows.GoldRow
    spans = Column(items.Spans.of)
    boxes = Column(items.GoldBoxes.of)


class PhraseTable(TableView[rows.PhraseRow]):
    """A run may add the column `expressions` (`schemas.rows.ExpressionColumns`)."""

    dataset = "phrases"
    record = rows.PhraseRow
    caption = Column(text)
    phrases = Column(items.Phrases.of)
    dropped = Column(items.DroppedSpans.of)

    def with_expressions(self, spans: Sequence[Sequence[rows.Span]]) -> PhraseTable:
        """The same rows with the expressions of each, one for every phrase."""
        (column,) = schema_of_record(rows.ExpressionColumns)
        return PhraseTable(self.table.append_column(column, array_of(spans, column.type)))

    def expression_rows(self) -> list[tuple[rows.Span, ...]]:
        """The expressions of each row; none where the run has none."""
        if "expressions" not in self.table.column_names:
            return [()] * len(self)
        return [row.expressions for row in rows_of(self.table, rows.ExpressionColumns)]


class LabelTable(TableView[rows.LabelRow]):
    dataset = "labels"
    record = rows.LabelRow
    width = Column(numbers)
    height = Column(numbers)
    boxes = Column(items.Boxes.of)
    dropped = Column(items.DroppedPhrases.of)


class PseudoTable(TableView[rows.PseudoRow]):
    dataset = "pseudo"
    record = rows.PseudoRow
    width = Column(numbers)
    height = Column(numbers)
    boxes = Column(items.Boxes.of)
    dropped = Column(items.DroppedBoxes.of)


class RejectTable(TableView[rows.Reject]):
    """Of one stage: read it from `rejects/STAGE`."""

    dataset = "rejects"
    record = rows.Reject
    source_id = Column(text)
    stage = Column(text)
    reason = Column(text)
    detail = Column(text)


class CurationTable(TableView[rows.Curation]):
    dataset = "curation"
    record = rows.Curation
    keep = Column(flags)
    reason = Column(text)
    duplicate_of = Column(text)
    cluster = Column(numbers)
    similarity = Column(numbers)


class ScoreTable(TableView[rows.ScoreRow]):
    dataset = "scores"
    record = rows.ScoreRow
    image = Column(numbers)
    boxes = Column(items.BoxScores.of)


class MaskTable(TableView[rows.MaskRow]):
    dataset = "masks"
    record = rows.MaskRow
    masks = Column(items.Masks.of)
