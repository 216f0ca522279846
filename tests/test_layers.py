"""The house has floors: schemas < model < stages < pipeline, and only the roof knows Ray. Checked in the source."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("schemas", "model", "stages", "pipeline")  # each may import itself and what stands before it
LAZY = {"spacy", "nltk", "webdataset", "pydantic", "pycocotools"}  # imported where they are used, never at the top

# What a machine that only labels and trains may lack; torch, pyarrow, numpy, pillow, tokenizers, safetensors are there.
ABSENT = sorted(LAZY | {"duckdb", "pandas", "ray", "rich", "tensorboard", "transformers", "typer", "torchvision"})
HEAVY = ("torch", "ray", "pandas", "pyarrow", "numpy", "spacy", "nltk", "transformers", "duckdb", "PIL")


def imports(source: str, package: str = "", only_top: bool = False) -> Iterator[tuple[int, str]]:
    """Line and full name of every import. `package`: the dotted one of the file, for relative imports.

    `only_top`: only what runs when the module itself is imported: nothing inside functions, nothing that only the type
    checker sees.
    """
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{whole}.{alias.name}") for alias in node.names)
        elif only_top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif only_top and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def files_of(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


def found(floor: str, forbidden: set[str], only_top: bool = False) -> list[str]:
    """`file:line imports name` for every import of a forbidden package on a floor."""
    lines = []
    for file in files_of(floor):
        package = ".".join(file.relative_to(ROOT).parent.parts)
        for line, name in imports(file.read_text(encoding="utf-8"), package, only_top):
            if name.partition(".")[0] in forbidden:
                lines.append(f"{file.relative_to(ROOT)}:{line} imports {name}")
    return lines


def run_python(code: str, *arguments: str) -> str:
    """What a fresh interpreter in the repository root prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_checker_sees_every_kind_of_import() -> None:
    source = """
import ray.util as util, json
from . import sibling
from ..storage import Storage
if TYPE_CHECKING:
    import spacy
else:
    import nltk
try:
    import webdataset
except ImportError:
    webdataset = None
class Reader:
    import pydantic
    def read(self):
        from pycocotools.coco import COCO
"""
    everything = {name for _, name in imports(source, "stages.ingest")}
    at_the_top = {name for _, name in imports(source, "stages.ingest", only_top=True)}
    assert everything - at_the_top == {"spacy", "pycocotools.coco.COCO"}
    assert at_the_top == {
        *(
            "ray.util",
            "json",
            "stages.ingest.sibling",
            "stages.storage.Storage",
            "nltk",
            "webdataset",
            "pydantic",
        )
    }


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_stands_on_lower_floors_only(floor: str) -> None:
    assert files_of(floor), f"{floor}/ holds no Python files"
    higher = set(FLOORS[FLOORS.index(floor) + 1 :])
    assert found(floor, higher | {"tests", "benchmarks"}) == []


@pytest.mark.parametrize("floor", ["schemas", "model", "stages"])
def test_only_the_roof_knows_ray_and_terminals(floor: str) -> None:
    assert found(floor, {"ray", "typer", "rich"}) == []


@pytest.mark.parametrize("floor", ["model", "stages"])
def test_what_a_labelling_machine_lacks_is_imported_where_it_is_used(floor: str) -> None:
    assert found(floor, LAZY, only_top=True) == []


def test_nothing_imports_torchvision() -> None:
    assert [line for floor in FLOORS for line in found(floor, {"torchvision"})] == []


def test_labelling_and_training_import_with_torch_and_pyarrow_alone() -> None:
    """The same promise where it counts: with those packages out of reach the stages still load."""
    code = """
import importlib, sys
absent, modules = sys.argv[1].split(","), sys.argv[2].split(",")
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not on this machine", name=name)
sys.meta_path.insert(0, Absent())
for module in modules:
    importlib.import_module(module)
"""
    modules = [
        "stages.label.stage",
        "stages.train.stage",
        "stages.filter.stage",
        "stages.shard.stage",
        "model.glip",
        "model.teachers.glip",
        "model.losses",
    ]
    modules += [f"stages.train.{file.stem}" for file in sorted((ROOT / "stages/train").glob("[!_]*.py"))]
    run_python(code, ",".join(ABSENT), ",".join(modules))


def test_the_command_line_starts_without_the_heavy_packages() -> None:
    """`phrasebox --help`, and the help of every command, as a person types it."""
    code = """
import contextlib, io, json, sys
import typer
from pipeline.cli.app import app, main
heavy = json.loads(sys.argv[1])
def help_of(*command):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        main([*command, "--help"])
    assert "Usage: phrasebox" in text.getvalue(), (command, text.getvalue())
commands = sorted(typer.main.get_command(app).commands)
help_of()
for command in commands:
    help_of(command)
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps({"commands": commands, "loaded": sorted(loaded & set(heavy))}))
"""
    seen = json.loads(run_python(code, json.dumps([*HEAVY, "typer"])))
    assert {"ingest", "label", "train", "run", "status", "verify"} <= set(seen["commands"])
    assert seen["loaded"] == ["typer"]
