"""New files of a folder, for an export that a test calls itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO


def creates(folder: Path) -> Callable[[str], AbstractContextManager[BinaryIO]]:
    """`create(name)` as an export wants it; a name that leaves the folder, or is there already, fails."""

    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        path = folder / name
        assert path.resolve().is_relative_to(folder.resolve())
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            yield file

    return create
