"""The pages speak of commands that exist, with options that they take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in ("evaluation", "ingest", "scaling"))]
OPTIONAL = re.compile(r" \[[^\]]*\]")  # `[--out FOLDER]`: what a reader may add


def command_lines(page: Path) -> list[str]:
    """Every `phrasebox COMMAND ...` that stands in an indented block, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^ {4,}(phrasebox [a-z].*)$", text, re.MULTILINE)


def test_there_is_something_to_check() -> None:
    assert len(command_lines(ROOT / "docs" / "scaling.md")) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_a_page_can_be_typed(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    for line in command_lines(page):
        _, name, *arguments = shlex.split(OPTIONAL.sub("", line), comments=True)
        assert name in group.commands, line
        group.commands[name].make_context(name, arguments)  # raises for an option that the command does not take
