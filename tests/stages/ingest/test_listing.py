"""From a path to files, and from files to slices."""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path

import pytest

from stages.ingest.listing import Unclear, Unused, cut, cut_records, list_files, offsets, plan_files
from stages.stage import Slice, SourceFile, UserError
from tests.stages.conftest import Run
from tests.stages.tars import write


def test_files_but_hidden_ones_sorted(run: Run, tmp_path: Path) -> None:
    for name in ("b.txt", "a/c.txt", ".hidden", "a/.cache/x", "__MACOSX/b.txt", "a.txt", "a/d.txt"):
        write(tmp_path / ".in" / name, name.encode())
    source = str(tmp_path / ".in")  # a hidden folder that was asked for is none
    found = list_files(run.io(), source)
    assert [file.uri.removeprefix(source) for file in found] == ["/a.txt", "/a/c.txt", "/a/d.txt", "/b.txt"]
    assert [file.size for file in found] == [5, 7, 7, 5]
    assert list_files(run.io(), source + "/a/.cache/x") == [SourceFile(source + "/a/.cache/x", 10)]
    with pytest.raises(UserError, match=r"ingest\.images: there is no file or folder .*/nothing"):
        list_files(run.io(), source + "/nothing", "ingest.images")


FILE = SourceFile("a.tar", 1000)


@pytest.mark.parametrize(
    ("rows", "part_size", "expected"),
    [(0, 3, []), (1, 3, [(0, 1)]), (3, 3, [(0, 3)]), (4, 3, [(0, 3), (3, 4)]), (7, 1, [(n, n + 1) for n in range(7)])],
)
def test_slices_of_rows(rows: int, part_size: int, expected: list[tuple[int, int]]) -> None:
    pieces = cut(FILE, rows, part_size, {"images": "x"})
    assert [(piece.start, piece.stop) for piece in pieces] == expected
    assert pieces == [Slice("a.tar", start, stop, size=1000, extra={"images": "x"}) for start, stop in expected]


def test_slices_know_where_they_begin() -> None:
    assert [piece.extra for piece in cut(FILE, 5, 2, {"a": 1}, [10, 20, 30])] == [
        {"a": 1, "offset": 10},
        {"a": 1, "offset": 20},
        {"a": 1, "offset": 30},
    ]
    with pytest.raises(ValueError, match="shorter"):
        cut(FILE, 5, 2, {}, [10, 20])


def test_offsets_are_sums_of_lengths() -> None:
    lengths = [5, 0, 7, 1]
    assert list(offsets(lengths, 100)) == [(100 + before, 1) for before in accumulate([0, *lengths[:-1]])]


@pytest.mark.parametrize("part_size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("seed", range(8))
def test_slices_of_records_with_several_pairs_hold_each_pair_once(part_size: int, seed: int) -> None:
    """Read back as the sources do it: `skip` pairs of the record `row` are left out, the record `last` is the end."""
    chance = random.Random(seed)
    numbers = [chance.choice([0, 1, 1, 2, 7]) for _ in range(chance.randrange(1, 12))]
    pairs = [(record, pair) for record, number in enumerate(numbers) for pair in range(number)]
    pieces = cut_records(
        FILE, [(record * 10, number) for record, number in enumerate(numbers)], part_size, {}, many=True
    )
    found = []
    for piece in pieces:
        first, skip, last = (piece.extra[name] for name in ("row", "skip", "last"))
        assert piece.extra["offset"] == first * 10 and 0 < piece.stop - piece.start <= part_size
        own = [(record, pair) for record, pair in pairs if first <= record < last][skip:][: piece.stop - piece.start]
        assert len(own) == piece.stop - piece.start
        found += own
    assert found == pairs and [piece.start for piece in pieces] == list(range(0, len(pairs), part_size))


def plan_or_fail(file: SourceFile) -> list[Slice]:
    if file.uri.startswith("bad"):
        raise UserError(f"{file.uri}: no table")
    if file.uri.startswith("unclear"):
        raise Unclear(f"{file.uri}: which column?")
    return [] if file.uri == "empty" else [Slice(file.uri, 0, 2, size=file.size)]


def test_a_file_that_cannot_be_planned_is_one_row_in_its_place() -> None:
    names = ["0", "bad 1", *(str(n) for n in range(2, 40)), "bad 40"]
    pieces = list(plan_files([SourceFile(name, 9) for name in names], plan_or_fail))
    assert [piece.uri for piece in pieces] == names
    damaged = {piece.uri: piece for piece in pieces if "damaged" in piece.extra}
    assert damaged == {
        name: Slice(name, 0, 1, size=9, extra={"damaged": f"{name}: no table"}) for name in ("bad 1", "bad 40")
    }


def test_where_no_file_can_be_planned_the_first_one_says_why() -> None:
    with pytest.raises(UserError, match="bad 1: no table"):
        list(plan_files([SourceFile("bad 1", 1), SourceFile("bad 2", 1)], plan_or_fail))
    pieces = list(plan_files([SourceFile("bad 1", 1), SourceFile("empty", 1)], plan_or_fail))
    assert [piece.uri for piece in pieces] == ["bad 1"]


def test_what_only_the_user_knows_is_asked_at_once() -> None:
    with pytest.raises(Unclear, match="which column"):
        list(plan_files([SourceFile("0", 1), SourceFile("unclear", 1)], plan_or_fail))


def test_what_is_not_used_is_counted_by_what_it_is() -> None:
    unused = Unused()
    assert unused.counts() == {}
    unused.files = ["in/README", "in/a.md"]
    unused.columns = {"b", "a"}
    unused.members = {"json"}
    assert unused.counts() == {"files (README, a.md)": 2, "columns (a, b)": 2, "kind of member (json)": 1}
    unused.files = [*(f"in/{n}.bin" for n in range(9)), "in/LICENSE"]
    unused.columns = {f"{n:02d}" for n in range(10)}
    assert list(unused.counts())[:2] == [
        "files (.bin, without a suffix)",
        "columns (00, 01, 02, 03, 04, 05, 06, 07, ...)",
    ]
