"""Parquet tables: the columns that are needed, a batch of rows at a time; damage costs the rows that it hits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest.records import GRIT_BOXES, Columns, find_columns
from stages.stage import RowError, UserError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from schemas.config import IngestConfig

BATCH = 64  # rows; they may hold images
_BESIDE = (*GRIT_BOXES, "width", "height", "key")  # what GRIT's boxes need


def detect(file: BinaryIO, name: str, config: IngestConfig) -> tuple[Columns, int]:
    """The columns, and the number of rows. Raises UserError."""
    reader = open_parquet(file, name)
    return find_columns(reader.schema_arrow.names, config, name), reader.metadata.num_rows


def open_parquet(file: BinaryIO, name: str) -> pq.ParquetFile:
    """Raises UserError for what is no Parquet file, or has lost its footer."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{name}: no readable Parquet file ({' '.join(str(error).split())[:200]})") from None


def read(file: BinaryIO, columns: Columns, start: int, stop: int) -> Iterator[dict[str, Any] | RowError]:
    """Rows [start, stop) as dictionaries. A row group that cannot be read gives one error for each of its rows."""
    reader = open_parquet(file, "the table")
    names = set(reader.schema_arrow.names)
    wanted = sorted({*columns.to_json().values(), *(name for name in _BESIDE if name in names)} & names)
    first = 0
    for group in range(reader.num_row_groups):
        last = first + reader.metadata.row_group(group).num_rows
        if first < stop and last > start:
            yield from _read_group(reader, file, group, wanted, max(start, first) - first, min(stop, last) - first)
        first = last


def _read_group(
    reader: pq.ParquetFile, file: BinaryIO, group: int, wanted: list[str], start: int, stop: int
) -> Iterator[dict[str, Any] | RowError]:
    import pyarrow as pa

    row = 0
    try:
        for batch in reader.iter_batches(BATCH, row_groups=[group], columns=wanted, use_threads=False):
            low, high = max(start - row, 0), min(stop - row, batch.num_rows)
            if low < high:
                yield from records(batch.slice(low, high - low))
            row += batch.num_rows
            if row >= stop:
                return
    except (pa.ArrowException, OSError) as error:
        yield from [damage(error, file)] * (stop - max(row, start))


def damage(error: Exception, file: BinaryIO) -> RowError:
    """The error of rows that Arrow cannot read. Raises what the storage raises, if that has failed and not the data."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    file.seek(0)
    while file.read(1 << 22):
        pass
    return RowError("damaged_source", " ".join(str(error).split())[:300])


def records(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | RowError]:
    """The rows of a batch as dictionaries; text that is not UTF-8 stays bytes, or is an error where it is nested."""
    columns = {name: _values(batch.column(i)) for i, name in enumerate(batch.schema.names)}
    for values in zip(*columns.values()):
        broken = next((value for value in values if isinstance(value, RowError)), None)
        yield broken or dict(zip(columns, values))


def _values(column: pa.Array) -> list[Any]:
    """Python values; text that is not UTF-8 stays bytes."""
    import pyarrow as pa

    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        pass
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return [_value(value.cast(pa.large_binary()) if text else value, text) for value in column]


def _value(scalar: pa.Scalar, text: bool) -> Any:
    try:
        value = scalar.as_py()
        return value.decode("utf-8") if text and value is not None else value
    except UnicodeDecodeError:
        return scalar.as_py() if text else RowError("bad_record", "text that is not UTF-8")
