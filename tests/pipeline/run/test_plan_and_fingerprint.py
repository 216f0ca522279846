"""Part numbers are given once; fingerprints follow the content and nothing else."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.run.fingerprint import columns_digest, fingerprint
from pipeline.run.plan import extend, read_plan, write_plan
from pipeline.storage.local import LocalStorage
from schemas.config import Config
from schemas.records import PHRASES
from stages import load_stage
from stages.stage import Slice, UserError


def slices(*names: str) -> list[Slice]:
    return [Slice(name, 0, 10, size=100, extra={"columns": ["a", name]}) for name in names]


def test_numbers_stay_and_are_not_given_again() -> None:
    plan = extend({}, slices("b", "c", "d"))
    assert {number: piece.uri for number, piece in plan.items()} == {0: "b", 1: "c", 2: "d"}
    plan = extend(plan, slices("a", "b", "d", "e"))
    assert {number: piece.uri for number, piece in plan.items()} == {0: "b", 2: "d", 3: "a", 4: "e"}
    changed = [*slices("b"), Slice("d", 0, 10, size=101, extra={"columns": ["a", "d"]})]
    assert {number: piece.size for number, piece in extend(plan, changed).items()} == {0: 100, 5: 101}


def test_equal_slices_are_parts_of_their_own() -> None:
    """Two scenes with equal settings, say: as many parts as there are slices, whatever was known."""
    plan = extend({}, slices("a", "a", "b"))
    assert list(plan) == [0, 1, 2]
    assert list(extend(plan, slices("a", "a", "b"))) == [0, 1, 2]


def test_numbering_starts_over_when_nothing_is_left() -> None:
    assert list(extend(extend({}, slices("a", "b")), slices("c"))) == [0]


def test_a_plan_is_read_as_it_was_written(tmp_path: object) -> None:
    storage = LocalStorage(str(tmp_path))
    plan = extend({}, [*slices("a b/ö.tar"), Slice("", 5, 9, "bytes", -1, {"seed": 3})])
    write_plan(storage, plan)
    assert read_plan(storage) == plan
    storage.write("plan.json", b'{"parts": [{"part": 0}]}')
    with pytest.raises(UserError, match=r"plan\.json is damaged"):
        read_plan(storage)


def phrases(rows: int, seed: int = 0, chunks: int = 1) -> pa.Table:
    chance = random.Random(seed)
    data = [
        {
            "key": f"{row:012d}",
            "caption": None if row == 3 else f"caption {chance.random()}",
            "phrases": None
            if row == 4
            else [
                {"start": start, "end": start + 3, "text": f"t{start}", "head": f"h{start}", "norm": None}
                for start in range(chance.randrange(4))
            ],
            "dropped": [],
        }
        for row in range(rows)
    ]
    size = max(1, rows // chunks)
    tables = [pa.Table.from_pylist(data[first : first + size], schema=PHRASES) for first in range(0, rows, size)]
    return pa.concat_tables(tables)


COLUMNS = ("key", "caption", "phrases.start", "phrases.end")


def test_a_digest_of_columns_depends_on_their_values_alone(tmp_path: object) -> None:
    whole = columns_digest(phrases(50), COLUMNS)
    assert whole == columns_digest(phrases(50, chunks=7), COLUMNS)
    assert whole == columns_digest(phrases(60).slice(0, 50), COLUMNS)
    pq.write_table(phrases(50), f"{tmp_path}/x.parquet", compression="none", row_group_size=7)
    assert whole == columns_digest(pq.read_table(f"{tmp_path}/x.parquet"), COLUMNS)
    assert whole == columns_digest(phrases(50), tuple(reversed(COLUMNS)))
    renamed = phrases(50).to_pylist()
    for row in renamed:
        for phrase in row["phrases"] or []:
            phrase["norm"], phrase["head"] = "another", "another"
    assert whole == columns_digest(pa.Table.from_pylist(renamed, schema=PHRASES), COLUMNS)


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[7].update(key="000000000008"),
        lambda rows: rows[7].update(caption=rows[7]["caption"] + " "),
        lambda rows: rows[7].update(caption=None),
        lambda rows: rows[3].update(caption=""),  # null and empty are two things
        lambda rows: rows[4].update(phrases=[]),
        lambda rows: next(row for row in rows if row["phrases"])["phrases"][0].update(end=99),
        lambda rows: rows.reverse(),
        lambda rows: rows.pop(),
    ],
)
def test_and_on_every_one_of_them(change: object) -> None:
    rows = phrases(50).to_pylist()
    change(rows)  # type: ignore[operator]
    assert columns_digest(pa.Table.from_pylist(rows, schema=PHRASES), COLUMNS) != columns_digest(phrases(50), COLUMNS)


def test_moving_a_value_between_rows_or_columns_changes_it() -> None:
    def table(*rows: tuple[str, str, list[int]]) -> pa.Table:
        return pa.table({"a": [row[0] for row in rows], "b": [row[1] for row in rows], "c": [row[2] for row in rows]})

    variants = [
        table(("ab", "c", [1]), ("", "", [2])),
        table(("a", "bc", [1]), ("", "", [2])),
        table(("ab", "", [1]), ("", "c", [2])),
        table(("ab", "c", [1, 2]), ("", "", [])),
        table(("", "", [1]), ("ab", "c", [2])),
    ]
    assert len({columns_digest(variant, ("a", "b", "c")) for variant in variants}) == len(variants)


def test_a_fingerprint_follows_each_of_its_parts() -> None:
    base = ("label", 1, {"floor": 0.1}, {"pairs": "x"}, None)
    variants = [
        base,
        ("shard", *base[1:]),
        (*base[:1], 2, *base[2:]),
        (*base[:2], {"floor": 0.2}, *base[3:]),
        (*base[:3], {"pairs": "y"}, None),
        (*base[:3], {"pairs": None}, None),
        (*base[:4], {"uri": "a"}),
    ]
    assert len({fingerprint(*variant) for variant in variants}) == len(variants)  # type: ignore[arg-type]
    assert fingerprint("label", 1, {"a": 1, "b": 2}, {}) == fingerprint("label", 1, {"b": 2, "a": 1}, {})


@pytest.mark.parametrize(
    ("stage", "devices", "wanted"),
    [
        ("phrases", {"label": "cuda", "train": "cuda"}, False),
        ("label", {"label": "cuda:0"}, True),
        ("label", {"label": "cpu", "train": "cuda"}, False),
        ("train", {"train": "cuda"}, True),
        ("train", {"label": "cuda", "train": "cpu"}, False),
        ("evaluate", {"label": "cuda", "train": "cpu"}, True),
        ("evaluate", {"label": "cpu", "train": "cuda"}, False),
    ],
)
def test_who_gets_a_gpu(stage: str, devices: dict[str, str], wanted: bool) -> None:
    config = Config.model_validate({section: {"device": device} for section, device in devices.items()})
    assert load_stage(stage).needs(config).gpu is wanted
