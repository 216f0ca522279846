"""Part numbers are given once."""

from __future__ import annotations

import pytest

from pipeline.run.plan import extend, read_plan, write_plan
from pipeline.storage.local import LocalStorage
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
