"""What a part counts of curation, by small tables."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from schemas.rows import Curation, ImageRef, Pair
from schemas.tables import CurationTable, PairTable
from stages.audit.curation import MOST_SOURCES, count_decisions, places, replaced, rolled_up


def pair(row: int, image: ImageRef | None) -> Pair:
    return Pair(f"{row:012d}", str(row), "a ball", image, 1, 1, 1, None, None, None)


def test_decisions_are_counted_by_reason_source_cluster_and_similarity() -> None:
    images = [ImageRef("a/0.tar", 5, 9), ImageRef("a/0.tar", 20, 9), ImageRef("b/1.jpg"), ImageRef("2.jpg"), None]
    decided = [
        Curation("000000000000", True, None, None, 3, 0.25),
        Curation("000000000001", False, "near_duplicate", "000000000000", 3, -1.0),
        Curation("000000000002", False, "benchmark_leak", "val:7", None, None),
        Curation("000000000003", False, "small_image", None, 0, 1.0),
        Curation("000000000004", True, None, None, None, None),
    ]
    pairs = PairTable.of_records([pair(row, image) for row, image in enumerate(images)])
    table = CurationTable.of_records(decided)
    found = count_decisions(table, pairs)
    similarity = found.pop("similarity")
    assert {i: n for i, n in enumerate(similarity) if n} == {1: 1, 126: 1, 201: 1} and len(similarity) == 202
    nothing: dict[str, int] = {}
    assert found == {
        "pairs": 5,
        "kept": 2,
        "set_aside": {"near_duplicate": 1, "benchmark_leak": 1, "small_image": 1},
        "sources": {
            "a/0.tar": {"pairs": 2, "set_aside": {"near_duplicate": 1}},
            "b": {"pairs": 1, "set_aside": {"benchmark_leak": 1}},
            ".": {"pairs": 1, "set_aside": {"small_image": 1}},
            "": {"pairs": 1, "set_aside": nothing},
        },
        "clusters": {"0": {"pairs": 1, "kept": 0}, "3": {"pairs": 2, "kept": 1}},
    }
    assert replaced(table).to_pylist() == [
        {"row": 1, "reason": "near_duplicate", "duplicate_of": "000000000000"},
        {"row": 2, "reason": "benchmark_leak", "duplicate_of": "val:7"},
    ]


def test_a_part_without_rows() -> None:
    empty = CurationTable(pa.Table.from_pylist([], schema=CurationTable.of_records([]).table.schema))
    found = count_decisions(empty, PairTable.of_records([]))
    nothing: dict[str, Any] = {}
    assert found == {"pairs": 0, "kept": 0, "set_aside": nothing, "sources": nothing}
    assert len(replaced(empty)) == 0 and places(PairTable.of_records([]).image) == []


@pytest.mark.parametrize("folders", [1, 3, MOST_SOURCES, MOST_SOURCES + 1, 500])
def test_sources_are_told_apart_as_deep_as_there_is_room(folders: int) -> None:
    """And parts that are rolled up on their own add up to the same."""

    def counts(numbers: range) -> dict[str, Any]:
        return {
            f"s3://mine/set{n % folders}/{n:05d}.tar": {"pairs": 2, "set_aside": {"near_duplicate": 1}} for n in numbers
        }

    whole = rolled_up(counts(range(600)))
    expected = {f"s3://mine/set{n}" for n in range(folders)} if folders <= MOST_SOURCES else {"s3://mine"}
    assert set(whole) == expected
    assert sum(own["pairs"] for own in whole.values()) == 1200
    assert sum(own["set_aside"]["near_duplicate"] for own in whole.values()) == 600
    total: dict[str, Any] = {}
    for start in range(0, 600, 50):
        total |= {f"{start}": rolled_up(counts(range(start, start + 50)))}
    added: dict[str, Any] = {}
    for part in total.values():
        for name, own in part.items():
            have = added.setdefault(name, {"pairs": 0, "set_aside": {"near_duplicate": 0}})
            have["pairs"] += own["pairs"]
            have["set_aside"]["near_duplicate"] += own["set_aside"]["near_duplicate"]
    assert rolled_up(added) == whole
    few = counts(range(10))
    assert set(rolled_up(few)) == set(few)
