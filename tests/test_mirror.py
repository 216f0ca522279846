"""Tests mirror the tree: `stages/filter/rules.py` has `tests/stages/filter/test_rules.py`.

The `__init__.py` of a package counts as a module of the package's name: `model/teachers/__init__.py` has
`tests/model/test_teachers.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("schemas", "model", "stages", "pipeline", "phrasebox")

# Modules with something to test whose tests lie elsewhere on purpose, and why.
ELSEWHERE = {
    "stages/phrases/lexicon.py": "lists of words; tests/stages/phrases/test_extractor.py says what they do to captions",
    "stages/phrases/nltk_backend.py": "compared with spaCy's by tests/stages/phrases/test_reference_backends.py",
}


def place_of_tests(module: PurePosixPath) -> PurePosixPath:
    """Where the tests of a module lie."""
    own = module.parent if module.name == "__init__.py" else module
    return PurePosixPath("tests", own.parent, f"test_{own.stem}.py")


def has_behaviour(tree: ast.Module) -> bool:
    """Whether there is anything to call: a function, or a class that is more than declarations."""
    return any(isinstance(node, ast.FunctionDef) and not is_declaration(node) for node in ast.walk(tree))


def is_declaration(function: ast.FunctionDef) -> bool:
    """A body without a statement, as protocols have."""
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in function.body)


def modules() -> Iterator[str]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix()


def without_tests() -> set[str]:
    """Modules with behaviour that no test file bears the name of."""
    return {
        module
        for module in modules()
        if has_behaviour(ast.parse((ROOT / module).read_text(encoding="utf-8")))
        and not (ROOT / place_of_tests(PurePosixPath(module))).exists()
    }


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("stages/filter/rules.py", "tests/stages/filter/test_rules.py"),
        ("model/teachers/__init__.py", "tests/model/test_teachers.py"),
        ("stages/__init__.py", "tests/test_stages.py"),
        ("phrasebox/__main__.py", "tests/phrasebox/test___main__.py"),
    ],
)
def test_where_the_tests_of_a_module_lie(module: str, expected: str) -> None:
    assert place_of_tests(PurePosixPath(module)) == PurePosixPath(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("LIMIT = 3", False),
        ("def f(x):\n    return x", True),
        ("class Protocol:\n    def f(self):\n        'What f does.'\n        ...", False),
        ("class Values:\n    number: int", False),
        ("class Values:\n    @property\n    def twice(self):\n        return 2", True),
    ],
)
def test_what_counts_as_behaviour(source: str, expected: bool) -> None:
    assert has_behaviour(ast.parse(source)) is expected


def test_every_module_has_tests_in_the_same_place() -> None:
    assert len(list(modules())) > 150
    assert sorted(without_tests() - ELSEWHERE.keys()) == []


def test_what_is_tested_elsewhere_is_there_and_has_no_tests_of_its_own() -> None:
    assert sorted(ELSEWHERE.keys() - without_tests()) == []
