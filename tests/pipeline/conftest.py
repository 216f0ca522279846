"""Runs of the toy stages."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `toys`, for these tests and for the workers that Ray starts

from toy_runs import write_source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three files of 7, 5 and 1 captions; 9 words long at most, some bad, some of one word."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number, rows in enumerate((7, 5, 1)):
        write_source(folder, number, rows)
    return folder


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of fsyncs are not what a test is about."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="phrasebox-", dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where `toys.mishap` keeps count."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def ray_of() -> Iterator[Callable[..., Any]]:
    """A RayExecutor by its options; the Ray of the last one is kept while the options stay the same."""
    from pipeline.execution.ray_pool import RayExecutor

    kept: list[tuple[dict[str, Any], RayExecutor]] = []

    def get(**options: Any) -> RayExecutor:
        if kept and kept[0][0] != options:
            kept.pop()[1].close()
        if not kept:
            kept.append((options, RayExecutor(**options)))
        return kept[0][1]

    yield get
    for _, executor in kept:
        executor.close()
