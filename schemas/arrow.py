"""Between records and Arrow: the schema of a record class, tables from records, and records from tables."""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import pyarrow as pa

Record = TypeVar("Record")

PLAIN = {str: pa.string(), bytes: pa.binary(), bool: pa.bool_()}


def schema_of_record(record: Any) -> pa.Schema:
    """A column for every field of a record class, in its order."""
    return pa.schema(struct_of(record))


def struct_of(record: Any) -> pa.StructType:
    """Of records inside a row."""
    return pa.struct([(name, _arrow_type(hint)) for name, hint in _hints(record).items()])


def table_of(rows: Iterable[Any], record: Any) -> pa.Table:
    """A table of records of one class. Raises ArrowInvalid, ArrowTypeError or TypeError for a value of another type."""
    listed, schema = list(rows), schema_of_record(record)
    return pa.table([array_of([getattr(row, field.name) for row in listed], field.type) for field in schema], schema)


def rows_of(table: pa.Table, record: type[Record]) -> list[Record]:
    """The rows of a table that has at least the columns of the record."""
    fields_of: Any = record
    columns = [_values(combined(table[name]), hint) for name, hint in _hints(fields_of).items()]
    return [record(*values) for values in zip(*columns, strict=True)]


def combined(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


@cache
def _hints(record: Any) -> dict[str, Any]:
    """The type of every field, without `| None`: every column may hold null."""
    hints = get_type_hints(record, include_extras=True)
    return {field.name: _without_none(hints[field.name]) for field in fields(record)}


def _without_none(hint: Any) -> Any:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    (one,) = [member for member in get_args(hint) if member is not types.NoneType]
    return one


def _arrow_type(hint: Any) -> pa.DataType:
    if get_origin(hint) is Annotated:
        return pa.type_for_alias(get_args(hint)[1])
    if get_origin(hint) is tuple:
        return pa.list_(_arrow_type(get_args(hint)[0]))
    return struct_of(hint) if is_dataclass(hint) else PLAIN[hint]


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """A column of Python values, nested as its type; a struct takes any object that has its fields. None is null."""
    if pa.types.is_list(kind):
        items = [item for value in values for item in value]
        offsets = pa.array(accumulate((len(value) for value in values), initial=0), pa.int32())
        return pa.ListArray.from_arrays(offsets, array_of(items, kind.value_type))
    if pa.types.is_struct(kind):
        children = [
            array_of([None if value is None else getattr(value, field.name) for value in values], field.type)
            for field in kind
        ]
        null = pa.array([value is None for value in values], pa.bool_())
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=null)
    if pa.types.is_integer(kind) and float in map(type, values):
        raise TypeError("a whole number is wanted; Arrow would cut the fraction off")
    return pa.array(values, kind)


def _values(column: pa.Array, hint: Any) -> list[Any]:
    """An Arrow column as Python values, structs as records; a null list is an empty one."""
    if get_origin(hint) is tuple:
        items = _values(column.flatten(), get_args(hint)[0])
        edges = accumulate(column.value_lengths().fill_null(0).to_pylist(), initial=0)
        return [tuple(items[start:stop]) for start, stop in pairwise(edges)]
    if isinstance(hint, type) and is_dataclass(hint):
        names = _hints(hint)
        children = [_values(column.field(name), names[name]) for name in names]
        valid = column.is_valid().to_pylist()
        return [hint(*values) if given else None for given, *values in zip(valid, *children, strict=True)]
    return list(column.to_pylist())
