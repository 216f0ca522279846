"""Every config in the repository is one that `phrasebox` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.run.config import load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path for folder in ("configs", "recipes", "experiments") for path in (ROOT / folder).rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_config_is_accepted(path: Path, tmp_path: Path) -> None:
    config = load_config(str(path), [], None)
    assert config.run.startswith("runs/") and config.corpus != ""
