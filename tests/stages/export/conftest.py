"""A run with everything in it, and its exports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.export.formats import export
from tests.stages.export.creating import creates
from tests.stages.export.exported import Exported


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, make_run: Callable[..., Any]) -> Any:
    return make_run(tmp_path_factory.mktemp("run"), part_size=25).fill(60)


@pytest.fixture
def exported(run: Any, tmp_path: Path) -> Callable[..., Exported]:
    def write(format: str, **options: Any) -> Exported:
        result = export(run.all_parts(), format, creates(tmp_path), config=run.config, **options)
        return Exported(tmp_path, run, result)

    return write
