"""An audited run, and a browser for its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stages.audit.browser import CHROMIUM, Browser
from tests.stages.audit.curated import audited, perceptual_run, vector_run


@pytest.fixture
def run(shapes: Any) -> Any:
    run = shapes(part_size=40).fill(130)
    run.audit()
    return run


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    opened = Browser(tmp_path_factory.mktemp("profile"))
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="session")
def perceptual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was curated by signatures and against a benchmark, audited."""
    run = perceptual_run(tmp_path_factory.mktemp("perceptual"))
    audited(run)
    return run


@pytest.fixture(scope="session")
def by_vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was curated by the vectors of a network, with clusters and similarities, audited."""
    run = vector_run(tmp_path_factory.mktemp("vectors"))
    audited(run)
    return run
