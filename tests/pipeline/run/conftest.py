"""Runs of the toys with side tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from side_toys import ON

from tests.pipeline.side_runs import LINES, make, side_config


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(LINES) + "\n")
    (folder / "b.txt").write_text("odd thing\nquiet place\n")
    return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    (folder / "pairs").mkdir()
    (folder / "pairs/a.txt").write_text("\n".join(LINES) + "\n")
    make(side_config(folder / "run", folder / "pairs", **ON))
    return folder / "run"
