"""Typed columns of tables: what is read, what is refused, how datasets line up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas import rows
from schemas.arrow import table_of
from schemas.items import Boxes, Items
from schemas.records import schema_of
from schemas.rows import Curation, DroppedPhrase, LabelRow
from schemas.tables import Column, CurationTable, LabelTable, PairTable, PhraseTable, PseudoTable, TableView
from tests.schemas.examples import EXAMPLES, LABELS
from tests.waiting import LIMIT

ROOT = Path(__file__).resolve().parents[2]
each_dataset = pytest.mark.parametrize("view", EXAMPLES, ids=lambda view: view.dataset)


class Reader:
    """Tables in memory; remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        return self.read_part(dataset, -1, columns)

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        self.asked.append((dataset, part, columns))
        view = next(view for view in EXAMPLES if view.dataset == dataset)
        table = table_of(EXAMPLES[view], view.record)
        return table if columns is None else table.select(list(columns))


@each_dataset
def test_a_view_has_the_columns_of_its_record(view: type[TableView[Any]]) -> None:
    columns = [value.name for kind in view.__mro__ for value in vars(kind).values() if isinstance(value, Column)]
    assert set(columns) == set(schema_of("rejects/x" if view.dataset == "rejects" else view.dataset).names)
    assert all(getattr(view, name) == name for name in columns)  # on the class a column is its name


@each_dataset
def test_columns_give_the_values_of_the_rows(view: type[TableView[Any]]) -> None:
    examples = EXAMPLES[view]
    table = view.of_records(examples)
    assert len(table) == len(examples)
    assert table.records() == examples
    for name in table.table.column_names:
        values, expected = getattr(table, name), [getattr(row, name) for row in examples]
        if isinstance(values, Items):
            assert values.lengths.tolist() == [len(value) for value in expected]
        elif isinstance(values, np.ndarray):
            filled = [None if value == -1 or value != value else value for value in values.tolist()]
            assert filled == expected
        elif isinstance(values, pa.Array):
            assert values.to_pylist() == expected
        else:
            assert values.refs() == expected


@each_dataset
def test_columns_make_the_table_again(view: type[TableView[Any]]) -> None:
    table = view.of_records(EXAMPLES[view])
    names = table.table.column_names
    given = {name: table.table[name] if name == "image" else getattr(table, name) for name in names}
    if view.dataset in ("pairs", "curation"):  # whose numbers may be null, which numpy has no word for
        given |= {name: table.table[name] for name in names if pa.types.is_primitive(table.table[name].type)}
    assert view.of_columns(**given).table.equals(table.table)


def test_only_what_is_named_is_read() -> None:
    reader = Reader()
    labels = LabelTable.read(reader, LabelTable.key, LabelTable.boxes)
    pseudo = PseudoTable.read_part(reader, 3)
    assert reader.asked == [("labels", -1, ["key", "boxes"]), ("pseudo", 3, None)]
    assert labels.key.to_pylist() == [row.key for row in LABELS]
    assert labels.boxes is labels.boxes  # converted once
    assert isinstance(pseudo.boxes, Boxes)
    with pytest.raises(KeyError, match="width"):
        labels.width  # noqa: B018
    with pytest.raises(KeyError, match="width"):
        labels.records()


def test_a_table_has_all_of_its_columns_and_no_other() -> None:
    labels = LabelTable.of_records(LABELS)
    columns = {name: getattr(labels, name) for name in ("key", "width", "height", "boxes")}
    with pytest.raises(ValueError, match=r"labels has the columns key, width, height, boxes, dropped, not"):
        LabelTable.of_columns(**columns)
    with pytest.raises(ValueError, match=r"not key, .*, masks"):
        LabelTable.of_columns(**columns, dropped=labels.dropped, masks=[])


def test_columns_of_another_type_or_length_are_refused() -> None:
    labels = LabelTable.of_records(LABELS)
    columns = {name: getattr(labels, name) for name in labels.table.column_names}
    with pytest.raises(pa.ArrowInvalid):
        LabelTable.of_columns(**{**columns, "width": np.array([1.5, 2.0, 3.0])})
    with pytest.raises(pa.ArrowInvalid, match="length"):
        LabelTable.of_columns(**{**columns, "width": np.array([1, 2])})
    with pytest.raises(TypeError, match="a column of list"):
        LabelTable.of_columns(**{**columns, "boxes": labels.dropped})


def test_datasets_line_up_by_key() -> None:
    labels = LabelTable.of_records(LABELS)
    wanted = pa.array([LABELS[2].key, LABELS[0].key, LABELS[2].key])
    assert labels.aligned(wanted).records() == [LABELS[2], LABELS[0], LABELS[2]]
    assert labels.aligned(wanted).boxes.lengths.tolist() == [1, 2, 1]
    assert len(labels.aligned(pa.array([], pa.string()))) == 0
    with pytest.raises(ValueError, match=r"labels lacks 2 keys that it should have, e\.g\. 000000100001"):
        labels.aligned(pa.array([LABELS[0].key, "000000100001", "000000100009"]))


def test_row_numbers_are_those_of_the_keys() -> None:
    labels = LabelTable.of_records(LABELS)
    assert labels.numbers.tolist() == [0, 2, 3]
    assert LabelTable.of_records([]).numbers.tolist() == []


def test_flags_and_numbers_that_are_null() -> None:
    table = pa.Table.from_pylist([{"key": "k"}], schema=schema_of("curation"))
    view = CurationTable(table)
    assert (view.keep.tolist(), view.cluster.tolist()) == ([False], [-1])
    assert np.isnan(view.similarity).all()
    assert CurationTable.of_records([Curation("k", True, None, None, None, None)]).keep.tolist() == [True]


def test_lists_of_python_values_become_columns_too() -> None:
    labels = LabelTable.of_records(LABELS)
    again = LabelTable.of_columns(
        key=[row.key for row in LABELS], width=[row.width for row in LABELS], height=[row.height for row in LABELS],
        boxes=labels.boxes, dropped=labels.dropped,
    )  # fmt: skip
    assert again.table.equals(labels.table)
    again = LabelTable.of_columns(
        key=labels.key, width=labels.width, height=labels.height,
        boxes=[row.boxes for row in LABELS], dropped=[list(row.dropped) for row in LABELS],
    )  # fmt: skip
    assert again.table.equals(labels.table)
    assert labels.dropped.reason.to_pylist() == ["over_token_limit"]
    assert labels.records()[0].dropped == (DroppedPhrase(2, "over_token_limit"),)


def test_empty_tables_have_empty_columns() -> None:
    for view in (PairTable, PhraseTable, LabelTable):
        table = view(schema_of(view.dataset).empty_table())
        assert (len(table), table.records(), table.key.to_pylist()) == (0, [], [])
    assert LabelTable(schema_of("labels").empty_table()).boxes.xyxy.shape == (0, 4)
    assert LabelTable.of_records([LabelRow("k", 1, 1, (), ())]).boxes.row.tolist() == []


def test_records_load_neither_numpy_nor_pyarrow() -> None:
    code = "import schemas.rows, stages.stage, sys; print([n for n in ('numpy', 'pyarrow') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_expressions_are_read_where_a_run_has_them() -> None:
    row = rows.PhraseRow("000000000000", "a dog in a field", (), ())
    table = PhraseTable.of_records([row, row])
    assert table.expression_rows() == [(), ()]
    grown = table.with_expressions([[rows.Span(0, 16), rows.Span(9, 16)], []])
    assert grown.expression_rows() == [(rows.Span(0, 16), rows.Span(9, 16)), ()]
    assert grown.records() == table.records() == [row, row]
