"""Records become tables and come back the same."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow as pa
import pytest

from schemas import rows
from schemas.arrow import rows_of, schema_of_record, struct_of, table_of
from schemas.tables import TableView
from tests.schemas.examples import EXAMPLES, LABELS

each_dataset = pytest.mark.parametrize("view", EXAMPLES, ids=lambda view: view.dataset)


@each_dataset
def test_rows_survive_the_way_to_arrow_and_back(view: type[TableView[Any]]) -> None:
    table = table_of(EXAMPLES[view], view.record)
    assert table.schema == schema_of_record(view.record)
    table.validate(full=True)
    assert rows_of(table, view.record) == EXAMPLES[view]


@each_dataset
def test_arrow_reads_the_same_values(view: type[TableView[Any]]) -> None:
    """Against Arrow's own conversion from and to plain dictionaries."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    expected = [plain(row) for row in EXAMPLES[view]]
    table = table_of(EXAMPLES[view], view.record)
    assert table.to_pylist() == expected
    assert table.equals(pa.Table.from_pylist(expected, schema=table.schema))


@each_dataset
def test_no_rows_are_a_table_too(view: type[TableView[Any]]) -> None:
    table = table_of([], view.record)
    assert (table.num_rows, table.schema) == (0, schema_of_record(view.record))
    assert rows_of(table, view.record) == []
    assert rows_of(table.schema.empty_table(), view.record) == []


def test_slices_and_chunks_are_read_as_they_are() -> None:
    table = table_of(LABELS, rows.LabelRow)
    assert rows_of(table.slice(1), rows.LabelRow) == LABELS[1:]
    assert rows_of(table.slice(2, 1), rows.LabelRow) == LABELS[2:]
    assert rows_of(pa.concat_tables([table.slice(1), table.slice(0, 1)]), rows.LabelRow) == [*LABELS[1:], LABELS[0]]


def test_null_lists_of_other_writers_are_empty() -> None:
    schema = schema_of_record(rows.LabelRow)
    plain = [{"key": "k", "width": 1, "height": 1, "boxes": None, "dropped": None}]
    assert rows_of(pa.Table.from_pylist(plain, schema=schema), rows.LabelRow) == [rows.LabelRow("k", 1, 1, (), ())]


def test_a_column_that_is_not_there_is_named() -> None:
    table = table_of(LABELS, rows.LabelRow).drop_columns("dropped")
    with pytest.raises(KeyError, match="dropped"):
        rows_of(table, rows.LabelRow)


@pytest.mark.parametrize(
    "row",
    [
        rows.LabelRow("k", "640", 480, (), ()),  # type: ignore[arg-type]
        rows.LabelRow("k", 640.5, 480, (), ()),  # type: ignore[arg-type]
        rows.LabelRow("k", 1 << 40, 480, (), ()),
        rows.LabelRow(7, 640, 480, (), ()),  # type: ignore[arg-type]
        rows.LabelRow("k", 640, 480, (rows.Box(0, "left", 0, 1, 1, 0.5),), ()),  # type: ignore[arg-type]
        rows.LabelRow("k", 640, 480, (rows.Box(0.5, 0, 0, 1, 1, 0.5),), ()),  # type: ignore[arg-type]
    ],
)
def test_values_of_another_type_are_refused(row: rows.LabelRow) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError)):
        table_of([row], rows.LabelRow)


def test_a_list_of_other_records_is_refused() -> None:
    with pytest.raises(AttributeError, match="phrase"):
        table_of([rows.LabelRow("k", 1, 1, (rows.GoldBox(0, 0, 0, 1, 1, ""),), ())], rows.LabelRow)  # type: ignore[arg-type]


def test_records_cannot_be_changed_and_carry_no_dictionary() -> None:
    for examples in EXAMPLES.values():
        row = examples[0]
        with pytest.raises(dataclasses.FrozenInstanceError):
            row.key = "other"
        assert not hasattr(row, "__dict__")


def test_a_struct_has_the_fields_of_its_record_in_order() -> None:
    assert [field.name for field in struct_of(rows.Box)] == [field.name for field in dataclasses.fields(rows.Box)]
    assert (
        rows.Box(0, 1.0, 2.0, 3.0, 4.0, 0.5).corners == rows.GoldBox(0, 1.0, 2.0, 3.0, 4.0, "").corners == (1, 2, 3, 4)
    )
