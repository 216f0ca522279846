"""Every reason that the code gives has a meaning, and every one that is listed is given somewhere."""

from __future__ import annotations

import ast
from pathlib import Path

from schemas.reasons import ALL, DROPPED_BOX, DROPPED_PHRASE, REJECTED, SET_ASIDE

ROOT = Path(__file__).resolve().parents[2]
FILES = [path for layer in ("model", "stages", "pipeline") for path in sorted((ROOT / layer).rglob("*.py"))]


def test_codes_are_words_with_a_meaning() -> None:
    assert len(ALL) > 30
    for code, meaning in ALL.items():
        assert code.isidentifier() and code.islower() and len(meaning) > 10, code


def test_a_code_means_one_thing() -> None:
    groups = [REJECTED, SET_ASIDE, DROPPED_PHRASE, DROPPED_BOX]
    shared = {code for group in groups for code in group if sum(code in other for other in groups) > 1}
    assert shared == {"no_image", "image_too_small"}  # the same fact, told of a row, a phrase or a box


def test_a_row_is_rejected_for_a_listed_reason() -> None:
    """`RowError("code")` and `RowError("code", detail)`, wherever they stand."""
    calls = [
        node
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "RowError" and node.args
    ]
    given = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert len(given) > 10 and given <= REJECTED.keys() | SET_ASIDE.keys()


def test_every_listed_reason_is_given_somewhere() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in FILES)
    assert [reason for reason in ALL if f'"{reason}"' not in code] == []
