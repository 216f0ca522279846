"""docs/reliability.md: its counts are those of the tests, and the files that it names are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text(encoding="utf-8")
TABLES = {
    "images": "IMAGES",
    "captions": "CAPTIONS",
    "lines of JSON": "LINES",
    "tars and their members": "TARS",
    "names that must stay names": "NAMES",
    "whole files": "FILES",
    "Parquet files": "PARQUETS",
}


def sizes() -> dict[str, int]:
    """Of the tables of cases, by their names."""
    module = ast.parse((ROOT / "tests/stages/test_bad_data.py").read_text(encoding="utf-8"))
    return {
        node.targets[0].id: len(node.value.keys if isinstance(node.value, ast.Dict) else node.value.elts)
        for node in module.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, (ast.Dict, ast.List))
    }


def test_the_kinds_of_bad_input_are_counted() -> None:
    said = {what: int(count) for count, what in re.findall(r"^\| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)}
    assert said == {what: sizes()[table] for what, table in TABLES.items()}
    assert sum(said.values()) >= 60 and f"That is {sum(said.values())}." in PAGE


def test_the_tests_that_it_names_are_there() -> None:
    named = set(re.findall(r"`(?:tests/\S+/)?(test_\w+\.py)`", PAGE))
    assert len(named) > 10
    assert named - {path.name for path in (ROOT / "tests").rglob("test_*.py")} == set()
