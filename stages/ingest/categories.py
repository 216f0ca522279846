"""What was looked for in the images of a part with true boxes, where the source lists it: its vocabulary.

A category of it that has no box in an image is known to be absent there, which boxes alone cannot say.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from schemas.records import part_name

SUMMARIES = "summaries/ingest"


class Writer(Protocol):
    @property
    def part(self) -> int: ...

    def create(self, path: str) -> AbstractContextManager[BinaryIO]: ...


class Reader(Protocol):
    @property
    def part(self) -> int: ...

    def has(self, dataset: str) -> bool: ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]: ...


def write_categories(io: Writer, categories: Iterable[str]) -> None:
    with io.create(_path(io.part)) as file:
        file.write((json.dumps({"categories": sorted(categories)}, ensure_ascii=False) + "\n").encode())


def read_categories(io: Reader) -> list[str]:
    """Empty where the source lists none."""
    if not io.has(SUMMARIES):
        return []
    with io.open(_path(io.part)) as file:
        return [str(name) for name in json.load(file)["categories"]]


def _path(part: int) -> str:
    return f"{SUMMARIES}/{part_name(part, 'json')}"
