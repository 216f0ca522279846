"""docs/notebook.md: its cells run in their order, on a run that is made for them."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

import phrasebox

PAGE = Path(__file__).resolve().parents[2] / "docs" / "notebook.md"


def cells() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run_cell(code: str, namespace: dict[str, Any]) -> Any:
    """The value of its last line if that is an expression, which a notebook displays."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, str(PAGE), "exec"), namespace)
    return (
        eval(compile(ast.Expression(last.value), str(PAGE), "eval"), namespace) if isinstance(last, ast.Expr) else None
    )


@pytest.fixture
def notebook(finished: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the cells have defined in the end, and `shown`, what each of them displays."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/demo").symlink_to(finished)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    namespace["shown"] = [run_cell(cell, namespace) for cell in cells()]
    return namespace


def test_the_cells_run_and_show_something(notebook: dict[str, Any], finished: str) -> None:
    run = phrasebox.open(finished)
    boxes = run.query("SELECT * FROM boxes_flat WHERE kept")
    _, nouns, thresholds, large, rejects, image, _, _, _, phrases = notebook["shown"]
    assert nouns["count"].tolist() == boxes["head"].value_counts().head().tolist()
    above = run.query("SELECT score FROM boxes_flat")["score"]
    assert thresholds == {score: int((above > score).sum()) for score in (0.1, 0.2, 0.3, 0.4)}
    assert len(set(thresholds.values())) == 4
    assert isinstance(large, pd.DataFrame) and large["boxes"].sum() == (boxes["share"] > 0.2).sum() > 0
    assert rejects.columns.tolist() == ["stage", "reason", "rows"]
    assert isinstance(image, Image.Image)
    assert [phrase.norm for phrase in phrases[0]] == ["red umbrella", "two dogs"]


def test_the_loaders_give_what_the_page_says(notebook: dict[str, Any], finished: str) -> None:
    assert sum(len(batch) for batch in notebook["loader"]) == len(list(phrasebox.open(finished).webdataset())) == 10
    assert notebook["crop"].width > 0 and notebook["text"]
    assert len(list(notebook["endless"])) == 64
