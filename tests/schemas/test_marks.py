"""Every mark of the config's fields is one that the settings know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.config import Config, Section
from schemas.marks import Enters, EntersUnless, Only, device_type
from schemas.settings import marks_of


@pytest.mark.parametrize(
    ("device", "kind"), [("cuda:1", "cuda"), ("cuda", "cuda"), ("cpu", "cpu"), ("auto", "auto"), ("mps:0", "mps")]
)
def test_results_depend_on_the_type_of_a_device(device: str, kind: str) -> None:
    assert device_type(device) == kind


def fields(section: type[Section]) -> Iterator[tuple[str, list[Any]]]:
    for name, marks in marks_of(section).items():
        kind = section.model_fields[name].annotation
        yield f"{section.__name__}.{name}", [mark for mark in marks if isinstance(mark, Only | Enters | EntersUnless)]
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from fields(kind)


def test_a_field_has_one_mark_at_most_and_each_kind_is_in_use() -> None:
    found = dict(fields(Config))
    assert len(found) > 80 and all(len(marks) <= 1 for marks in found.values())
    kinds = Counter(marks[0] if isinstance(marks[0], Only) else type(marks[0]) for marks in found.values() if marks)
    assert kinds.keys() == {*Only, Enters, EntersUnless}
