"""A run with everything in it, and its exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from stages.export.formats import export
from tests.stages.export.exported import Exported


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Any]) -> Any:
    return make_run(tmp_path_factory.mktemp("run"), part_size=25).fill(60)


@pytest.fixture
def exported(run: Any, tmp_path: Path) -> Callable[..., Exported]:
    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        path = tmp_path / name
        assert path.resolve().is_relative_to(tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            yield file

    def write(format: str, **options: Any) -> Exported:
        return Exported(tmp_path, run, export(run.all_parts(), format, create, config=run.config, **options))

    return write
