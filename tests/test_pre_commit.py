""".pre-commit-config.yaml: what runs before a commit is what `make` runs, from .venv alone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


def hooks() -> list[dict[str, Any]]:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    assert repository["repo"] == "local"  # nothing is fetched
    found: list[dict[str, Any]] = repository["hooks"]
    return found


def test_pre_commit_reads_the_file() -> None:
    clientlib = pytest.importorskip("pre_commit.clientlib", reason="pre-commit is not installed")
    assert clientlib.load_config(str(ROOT / ".pre-commit-config.yaml"))["repos"]


def test_every_hook_is_a_tool_of_the_virtual_environment() -> None:
    assert [hook["id"] for hook in hooks()] == ["format", "lint", "spelling", "types", "links"]
    for hook in hooks():
        assert hook["language"] == "system" and shlex.split(hook["entry"])[0].startswith(".venv/bin/")


def test_make_runs_the_same_tools() -> None:
    recipes = (ROOT / "Makefile").read_text(encoding="utf-8")
    own = hooks()
    assert own
    for hook in own:
        tool = shlex.split(hook["entry"])[0].rpartition("/")[2]
        assert f"$(BIN)/{tool}" in recipes
