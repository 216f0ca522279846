"""Parquet files of a run: equal tables give equal bytes, and a table has exactly the columns of its dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.storage.base import Storage
from schemas.records import has_schema, written_schema

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(storage: Storage, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = pq.ParquetFile(pa.BufferReader(storage.read(path)))
    return reader.read(columns=list(columns) if columns is not None else None, use_threads=False)


def write_parquet(table: pa.Table, file: Any) -> None:
    """Equal tables give equal bytes: fixed options, one chunk a column, no metadata beside the schema."""
    import pyarrow.parquet as pq

    plain = table.replace_schema_metadata(None).combine_chunks()
    pq.write_table(plain, file, compression="zstd", compression_level=3, version="2.6", row_group_size=1 << 17)


def as_declared(dataset: str, table: pa.Table) -> pa.Table:
    """The table with the columns of the dataset's schema, in their order, then optional ones; as it is where there is
    no schema.

    Raises ValueError, with the column's name, for one that is missing, that the schema does not have, or that would
    lose something on the way to the schema's type.
    """
    if not has_schema(dataset):
        return table
    schema = written_schema(dataset, table.column_names)
    for name in [*table.column_names, *schema.names]:
        times = table.column_names.count(name)
        if times != 1 or name not in schema.names:
            what = "is missing" if times == 0 else "is there twice" if times > 1 else "is not in the schema"
            raise ValueError(f"{dataset}: column {name} {what}; schemas/records.py has {', '.join(schema.names)}")
    for field in schema:
        if problem := _lossy(table.schema.field(field.name).type, field.type, field.name):
            raise ValueError(f"{dataset}: {problem}")
    return table.select(schema.names).cast(schema)


def _lossy(given: pa.DataType, wanted: pa.DataType, name: str) -> str:
    """Why a type does not fit into another one; "" where every value of it does."""
    import pyarrow as pa

    types = pa.types
    if given == wanted or types.is_null(given):
        return ""
    if types.is_dictionary(given):
        return _lossy(given.value_type, wanted, name)
    if _is_list(given) and _is_list(wanted):
        return _lossy(given.value_type, wanted.value_type, name)
    if types.is_struct(given) and types.is_struct(wanted):
        return _lossy_struct(given, wanted, name)
    same_kind = any(
        kind(given) and kind(wanted)
        for kind in (_is_text, _is_binary, types.is_signed_integer, types.is_unsigned_integer, types.is_floating)
    )
    if same_kind and (_is_text(given) or _is_binary(given) or given.bit_width <= wanted.bit_width):
        return ""
    return f"column {name} is {given}, the schema says {wanted}, and not every value fits"


def _lossy_struct(given: pa.StructType, wanted: pa.StructType, name: str) -> str:
    mine, theirs = ([field.name for field in kind] for kind in (given, wanted))
    if mine != theirs:
        return f"column {name} has the fields {', '.join(mine)}, the schema says {', '.join(theirs)}"
    problems = (_lossy(given.field(i).type, wanted.field(i).type, f"{name}.{mine[i]}") for i in range(len(mine)))
    return next(filter(None, problems), "")


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))
