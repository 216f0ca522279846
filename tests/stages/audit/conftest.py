"""An audited run, and a browser for its page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.stages.audit.browser import CHROMIUM, Browser


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
