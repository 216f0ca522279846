"""The Arrow schemas are those of the contract, written out here once more."""

from __future__ import annotations

import pyarrow as pa
import pytest

from schemas import records
from schemas.records import DATASETS, TABLES, make_key, part_name, part_of, row_of, schema_of, written_schema

KEY = ("key", pa.string())
SIZE = [("width", pa.int32()), ("height", pa.int32())]
CORNERS = [(name, pa.float32()) for name in ("x1", "y1", "x2", "y2")]
BOXES = pa.list_(pa.struct([("phrase", pa.int32()), *CORNERS, ("score", pa.float32())]))
IMAGE = pa.struct([("uri", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
PHRASE = pa.struct(
    [("start", pa.int32()), ("end", pa.int32()), *((name, pa.string()) for name in ("text", "head", "norm"))]
)


def dropped(*index: str) -> pa.DataType:
    return pa.list_(pa.struct([*((name, pa.int32()) for name in index), ("reason", pa.string())]))


CONTRACT = {
    "pairs": [
        KEY, ("source_id", pa.string()), ("caption", pa.string()), ("image", IMAGE), *SIZE, ("orientation", pa.int8()),
        ("sha256", pa.string()), ("license", pa.string()), ("url", pa.string()),
    ],
    "gold": [
        KEY,
        ("spans", pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))),
        ("boxes", pa.list_(pa.struct([("span", pa.int32()), *CORNERS, ("category", pa.string())]))),
    ],
    "phrases": [
        KEY, ("caption", pa.string()), ("phrases", pa.list_(PHRASE)), ("dropped", dropped("start", "end")),
    ],
    "labels": [KEY, *SIZE, ("boxes", BOXES), ("dropped", dropped("phrase"))],
    "pseudo": [KEY, *SIZE, ("boxes", BOXES), ("dropped", dropped("box"))],
    "curation": [
        KEY, ("keep", pa.bool_()), ("reason", pa.string()), ("duplicate_of", pa.string()), ("cluster", pa.int32()),
        ("similarity", pa.float32()),
    ],
    "scores": [
        KEY,
        ("image", pa.float32()),
        ("boxes", pa.list_(pa.struct(
            [("score", pa.float32()), ("best_phrase", pa.int32()), ("best_score", pa.float32())]))),
    ],
    "masks": [
        KEY,
        ("masks", pa.list_(pa.struct(
            [("counts", pa.binary()), ("height", pa.int32()), ("width", pa.int32()), ("score", pa.float32())]))),
    ],
}  # fmt: skip


@pytest.mark.parametrize("dataset", CONTRACT)
def test_columns_are_those_of_the_contract(dataset: str) -> None:
    assert schema_of(dataset).equals(pa.schema(CONTRACT[dataset]))


def test_every_dataset_has_a_contract_and_a_view() -> None:
    assert set(DATASETS) == set(TABLES) == set(CONTRACT)
    assert all(TABLES[name].dataset == name for name in TABLES)


def test_columns_that_a_run_may_add_stand_behind_the_others() -> None:
    spans = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))
    grown = pa.schema([*CONTRACT["phrases"], ("expressions", spans)])
    assert written_schema("phrases", ["expressions", "key"]).equals(grown)
    assert written_schema("phrases", ["key", "other"]).equals(schema_of("phrases"))
    assert written_schema("labels", ["expressions"]).equals(schema_of("labels"))


def test_rejects_of_every_stage_have_one_schema() -> None:
    names = ("key", "source_id", "stage", "reason", "detail")
    assert schema_of("rejects/mask").equals(pa.schema([(name, pa.string()) for name in names]))


def test_an_unknown_dataset_has_no_schema() -> None:
    with pytest.raises(KeyError, match="label"):
        schema_of("label")


def test_structs_have_names_of_their_own() -> None:
    assert (records.IMAGE, records.PHRASE, pa.list_(records.BOX)) == (IMAGE, PHRASE, BOXES)


def test_keys_sort_in_input_order() -> None:
    assert make_key(12, 345) == "000001200345"
    assert (part_of("000001200345"), row_of("000001200345")) == (12, 345)
    assert make_key(2, 99_999) < make_key(10, 0)
    assert part_name(12) == "part-0000012.parquet"
    assert part_name(12, "tar") == "part-0000012.tar"


@pytest.mark.parametrize(("part", "row"), [(-1, 0), (10_000_000, 0), (0, -1), (0, 100_000)])
def test_what_does_not_fit_into_a_key_is_refused(part: int, row: int) -> None:
    with pytest.raises(ValueError, match=f"part {part}, row {row}"):
        make_key(part, row)
