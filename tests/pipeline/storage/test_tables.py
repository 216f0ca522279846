"""A table is written with exactly the columns of its dataset, without loss, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from pipeline.storage.tables import as_declared, read_parquet, write_parquet
from schemas.records import CURATION, LABELS, OPTIONAL, PHRASES, SCORES

KEY = "000000000000"
BOX = {"phrase": 0, "x1": 0.25, "y1": 1.0, "x2": 2.0, "y2": 3.0, "score": 0.5}
ROW = {"key": KEY, "width": 4, "height": 5, "boxes": [BOX], "dropped": [{"phrase": 1, "reason": "no_image"}]}
GOOD = pa.Table.from_pylist([ROW], schema=LABELS)


def replaced(name: str, values: pa.Array) -> pa.Table:
    return GOOD.set_column(GOOD.column_names.index(name), name, values)


def boxes(**changes: pa.DataType) -> pa.Table:
    """The table with other types in its boxes."""
    fields = [(field.name, changes.get(field.name, field.type)) for field in LABELS.field("boxes").type.value_type]
    return replaced("boxes", pa.array([[BOX]], pa.list_(pa.struct(fields))))


@pytest.mark.parametrize(
    "table",
    [
        GOOD,
        GOOD.select(["boxes", "key", "height", "dropped", "width"]),  # in another order
        replaced("key", pa.array([KEY], pa.large_string())),
        replaced("key", pa.array([KEY]).dictionary_encode()),
        replaced("width", pa.array([4], pa.int16())),
        replaced("dropped", pa.array([None], pa.null())),
        boxes(score=pa.float16()),
        boxes(phrase=pa.int8()),
        GOOD.slice(0, 0),
    ],
)
def test_what_fits_is_cast_to_the_schema(table: pa.Table) -> None:
    stored = as_declared("labels", table)
    assert stored.schema == LABELS and stored.num_rows == table.num_rows
    if table.num_rows and table["dropped"].null_count == 0:
        assert stored.to_pylist() == GOOD.to_pylist()


def test_an_optional_column_is_stored_behind_the_others() -> None:
    kind = OPTIONAL["phrases"].field("expressions").type
    row = {"key": KEY, "caption": "a dog", "phrases": [], "dropped": []}
    plain = pa.Table.from_pylist([row], schema=PHRASES)
    grown = plain.add_column(0, "expressions", pa.array([[{"start": 0, "end": 5}]], kind))
    assert as_declared("phrases", plain).schema == PHRASES
    stored = as_declared("phrases", grown)
    assert stored.column_names == [*PHRASES.names, "expressions"]
    assert stored["expressions"].to_pylist() == [[{"start": 0, "end": 5}]]
    with pytest.raises(ValueError, match="column expressions is string"):
        as_declared("phrases", plain.append_column("expressions", pa.array(["x"])))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (GOOD.drop_columns(["dropped"]), "column dropped is missing"),
        (GOOD.append_column("teacher", pa.array(["x"])), "column teacher is not in the schema"),
        (pa.table([*GOOD.columns, GOOD["key"]], [*GOOD.column_names, "key"]), "column key is there twice"),
        (replaced("width", pa.array([4], pa.int64())), "column width is int64, the schema says int32"),
        (replaced("width", pa.array([4.0])), "column width is double, the schema says int32"),
        (replaced("key", pa.array([0], pa.int64())), "column key is int64, the schema says string"),
        (boxes(score=pa.float64()), "column boxes.score is double, the schema says float"),
        (boxes(phrase=pa.uint32()), "column boxes.phrase is uint32, the schema says int32"),
        (
            replaced("boxes", pa.array([[{**BOX, "label": "dog"}]])),
            "column boxes has the fields phrase, x1, y1, x2, y2, score, label, the schema says phrase, x1",
        ),
        (replaced("boxes", pa.array([{"phrase": 0}])), "column boxes is struct<phrase: int64>, the schema says list"),
    ],
)  # fmt: skip
def test_what_does_not_is_an_error_with_the_columns_name(tmp_path: Path, table: pa.Table, problem: str) -> None:
    part = PartFiles(LocalStorage(str(tmp_path)), 0, None, "attempt", lambda *_: None, {})
    run = RunFiles(LocalStorage(str(tmp_path)), [0], "attempt", lambda *_: None)
    writers: list[Callable[[], None]] = [
        lambda: part.write("labels", table),
        lambda: run.write_part("labels", 0, table),
    ]
    for write in writers:
        with pytest.raises(ValueError, match=r"^labels: ") as error:
            write()
        assert problem in str(error.value)
    assert not list(tmp_path.rglob("*.parquet")) and part.entries() == ()


def test_the_tables_of_optional_stages_have_schemas_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="curation: column keep is missing"):
        as_declared("curation", pa.table({"key": [KEY]}))
    with pytest.raises(ValueError, match="scores: column boxes has the fields score"):
        as_declared("scores", pa.Table.from_pylist([{"key": KEY, "image": None, "boxes": [{"score": 1.0}]}]))
    assert as_declared("scores", SCORES.empty_table()).schema == SCORES
    assert as_declared("curation", CURATION.empty_table()).schema == CURATION
    table = pa.table({"any": [1]})
    assert as_declared("notes", table) is table  # a dataset without a schema is written as it is


def test_a_part_file_of_a_result_has_the_bytes_of_a_parts(tmp_path: Path) -> None:
    storage, told = LocalStorage(str(tmp_path)), []
    run = RunFiles(
        storage, [0, 1], "a", lambda *_: None, wrote=lambda name, part, table: told.append((name, part, table))
    )
    run.write_part("labels", 1, GOOD)
    part = PartFiles(storage, 0, None, "b", lambda *_: None, {"labels": "digest"})
    part.write("labels", GOOD)
    part.publish()
    first, second = (tmp_path / f"labels/part-000000{n}.parquet" for n in (0, 1))
    assert first.read_bytes() == second.read_bytes() and told == [("labels", 1, GOOD)]
    assert list(run.created) == ["labels/part-0000001.parquet"]
    assert read_parquet(storage, "labels/part-0000001.parquet", ["key"]).to_pylist() == [{"key": KEY}]


def test_what_is_turned_off_is_not_there_for_a_job(tmp_path: Path) -> None:
    storage = LocalStorage(str(tmp_path))
    writer = RunFiles(storage, [0], "a", lambda *_: None)
    writer.write_part("scores", 0, SCORES.empty_table())
    reader = RunFiles(storage, [0], "b", lambda *_: None, turned_off=["scores"])
    assert writer.has_part("scores", 0) and writer.files("scores")
    assert not reader.has_part("scores", 0) and reader.files("scores") == []
    with pytest.raises(FileNotFoundError, match="turned off"):
        reader.read_part("scores", 0)
    with pytest.raises(FileNotFoundError, match="turned off"), reader.open("scores/part-0000000.parquet"):
        pass


def test_parquet_bytes_do_not_depend_on_chunks_or_metadata(tmp_path: Path) -> None:
    def written(table: pa.Table) -> bytes:
        with open(tmp_path / "x", "wb") as file:
            write_parquet(table, file)
        return (tmp_path / "x").read_bytes()

    table = pa.table({"key": [f"{row:012d}" for row in range(500)], "value": list(range(500))})
    pieces = pa.concat_tables([table.slice(start, 7) for start in range(0, 500, 7)])
    assert written(table) == written(pieces) == written(table.replace_schema_metadata({"path": "/somewhere"}))
    assert pq.read_table(tmp_path / "x").equals(table)
