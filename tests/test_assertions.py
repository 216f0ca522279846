"""No test can pass without having checked something.

Read in the source: each test must reach, on every way through it, an `assert`, a `pytest.raises`, or a call of a
function that checks. What stands under an `if`, in an `except`, or in a loop over something that may be empty does not
count, and neither does `assert all(...)` over such. A loop counts where it goes over a literal, over `range` of a
number, over a constant of the module, or over what an `assert` outside of the loop speaks of.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
CHECKING = {"raises", "warns", "fail", "xfail", "gradcheck"}  # of pytest and torch
WRAPPERS = {"zip", "enumerate", "sorted", "reversed", "list", "tuple", "product", "pairwise", "permutations"}

Functions = dict[str, ast.FunctionDef]


def functions_of(tree: ast.Module) -> Functions:
    """Every function and method of a module, by name."""
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def name_of(call: ast.Call) -> str:
    """`f` of f(...) and of a.f(...)."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def told_of(body: list[ast.stmt]) -> Iterator[str]:
    """What the asserts of a block speak of. Those in loops and within all(...) say nothing of what may be empty."""
    for statement in body:
        if isinstance(statement, ast.With):
            yield from told_of(statement.body)
        pending: list[ast.AST] = [statement.test] if isinstance(statement, ast.Assert) else []
        while pending:
            node = pending.pop()
            if not isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp):
                yield ast.unparse(node)
                pending.extend(ast.iter_child_nodes(node))


class Reader:
    """Whether the functions of the tests check something whichever way they go."""

    def __init__(self, known: Functions) -> None:
        self.known = known
        self.found: dict[str, bool] = {}

    def checks(self, function: ast.FunctionDef) -> bool:
        return self.block(function.body, set(told_of(function.body)))

    def block(self, body: list[ast.stmt], filled: set[str]) -> bool:
        return any(self.statement(statement, filled) for statement in body)

    def statement(self, node: ast.stmt, filled: set[str]) -> bool:
        if isinstance(node, ast.Assert):
            return not self.is_hollow(node.test, filled)
        if isinstance(node, ast.With):
            return any(self.calls(item.context_expr) for item in node.items) or self.block(node.body, filled)
        if isinstance(node, ast.For):
            return self.block(node.body, filled) and self.is_filled(node.iter, filled)
        if isinstance(node, ast.If):
            return self.block(node.body, filled) and self.block(node.orelse, filled)
        if isinstance(node, ast.Try):
            ways = [node.orelse, *(handler.body for handler in node.handlers)]
            return self.block([*node.body, *node.finalbody], filled) or all(self.block(way, filled) for way in ways)
        if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.AugAssign | ast.Return):
            return self.calls(node)
        return False

    def calls(self, node: ast.AST) -> bool:
        """Whether a statement without others in it calls what checks."""
        return any(self.is_check(call) for call in ast.walk(node) if isinstance(call, ast.Call))

    def is_check(self, call: ast.Call) -> bool:
        name = name_of(call)
        if name.startswith("assert_") or name in CHECKING:
            return True
        if any(keyword.arg == "check" and ast.unparse(keyword.value) == "True" for keyword in call.keywords):
            return True  # subprocess.run
        if name not in self.found and name in self.known:
            self.found[name] = False  # a function that calls itself
            self.found[name] = self.checks(self.known[name])
        return self.found.get(name, False)

    def is_hollow(self, test: ast.expr, filled: set[str]) -> bool:
        """Whether an `assert` holds for nothing: all(...) or not any(...) over what may be empty."""
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
            return all(self.is_hollow(value, filled) for value in test.values)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return (
                isinstance(test.operand, ast.Call)
                and name_of(test.operand) == "any"
                and self.over_nothing(test.operand, filled)
            )
        return isinstance(test, ast.Call) and name_of(test) == "all" and self.over_nothing(test, filled)

    def over_nothing(self, call: ast.Call, filled: set[str]) -> bool:
        own = call.args[0] if call.args else call
        return isinstance(own, ast.GeneratorExp) and not self.is_filled(own.generators[0].iter, filled)

    def is_filled(self, node: ast.expr, filled: set[str]) -> bool:
        """Whether a loop over this runs at least once."""
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            return bool(node.elts)
        if isinstance(node, ast.Dict):
            return bool(node.keys)
        if isinstance(node, ast.Constant):
            return bool(node.value)
        if isinstance(node, ast.IfExp):
            return self.is_filled(node.body, filled) and self.is_filled(node.orelse, filled)
        if isinstance(node, ast.Call):
            if name_of(node) in {"items", "values", "keys", "splitlines", "tolist"} and not node.args:
                return self.is_filled(node.func.value, filled)  # type: ignore[attr-defined]
            if name_of(node) == "range":
                return True
            if name_of(node) in WRAPPERS:
                return any(self.is_filled(argument, filled) for argument in node.args)
        text = ast.unparse(node)
        return text in filled or (isinstance(node, ast.Name) and node.id.isupper())


def unchecked_tests(trees: dict[str, ast.Module]) -> Iterator[str]:
    """FILE::TEST of every test that may pass without a check."""
    everything = {name: node for tree in trees.values() for name, node in functions_of(tree).items()}
    for file, tree in trees.items():
        reader = Reader({**everything, **functions_of(tree)})  # a module's own come first
        for name, node in functions_of(tree).items():
            if name.startswith("test_") and Path(file).name.startswith("test_") and not reader.checks(node):
                yield f"{file}::{name}"


@pytest.mark.parametrize(
    ("body", "checks"),
    [
        ("assert x", True),
        ("pass", False),
        ("for row in rows(): assert row", False),
        ("found = rows()\n assert found\n for row in found: check(row)", True),
        ("for a in (1, 2): assert a", True),
        ("for a in range(3): assert a", True),
        ("for a in zip(rows(), (1, 2), strict=True): assert a", True),
        ("for a in rows(): assert a in rows()", False),
        ("found = rows()\n for row in found: assert row in found", False),
        ("assert all(row for row in rows())", False),
        ("found = rows()\n assert len(found) > 3\n assert all(row for row in found)", True),
        ("assert not any(row for row in rows())", False),
        ("if x: assert x", False),
        ("if x: assert x\n else: assert not x", True),
        ("with pytest.raises(ValueError): f()", True),
        ("with open(x): assert x", True),
        ("helper(x)", True),
        ("idle(x)", False),
        ("np.testing.assert_array_equal(x, x)", True),
    ],
)
def test_the_reader_tells_checks_from_hopes(body: str, checks: bool) -> None:
    source = f"def test_it(x):\n {body}\n\ndef helper(x):\n assert x\n\ndef idle(x):\n return x\n"
    found = list(unchecked_tests({"test_it.py": ast.parse(source)}))
    assert found == ([] if checks else ["test_it.py::test_it"])


def test_every_test_checks_something() -> None:
    files = sorted(TESTS.rglob("*.py"))
    trees = {str(file.relative_to(TESTS)): ast.parse(file.read_text(encoding="utf-8")) for file in files}
    assert list(unchecked_tests(trees)) == []
