"""Layers, packages and imports: schemas < model < stages < pipeline < phrasebox, and no circles. Checked in the source,
and in fresh interpreters."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("schemas", "model", "stages", "pipeline", "phrasebox")  # each may import itself and those before it
PIPELINE = ("storage", "run", "execution", "cli")  # the same, inside pipeline
SCRIPTS = ("recipes", "benchmarks", "experiments")  # the same, above all layers
LAZY = {"spacy", "nltk", "webdataset", "pydantic", "pycocotools", "pandas"}  # imported where used, never at the top

# What a machine that only labels and trains may lack; torch, pyarrow, numpy, pillow, tokenizers, safetensors are there.
ABSENT = sorted(LAZY | {"duckdb", "ray", "rich", "tensorboard", "transformers", "triton", "typer", "torchvision"})
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


def modules_of(package: str) -> dict[str, Path]:
    """The modules below a folder, by dotted name; a package's own module is `PACKAGE.__init__`."""
    files = sorted((ROOT / package).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}


def imports_of(package: str, only_top: bool = False) -> list[tuple[str, int, str]]:
    """(module, line, imported name) for every import below a folder."""
    return [
        (module, line, name)
        for module, file in modules_of(package).items()
        for line, name in imports(file.read_text(encoding="utf-8"), module.rpartition(".")[0], only_top)
    ]


def found(package: str, forbidden: set[str], only_top: bool = False) -> list[str]:
    """`module:line imports name` for every import of a forbidden package or of what lies in one."""
    return [
        f"{module}:{line} imports {name}"
        for module, line, name in imports_of(package, only_top)
        if any(f"{name}.".startswith(f"{other}.") for other in forbidden)
    ]


def module_imports(packages: tuple[str, ...]) -> set[tuple[str, str]]:
    """(importing module, imported module) among the modules of the packages, type-only and local imports included."""
    modules = {module for package in packages for module in modules_of(package)}
    edges = set()
    for package in packages:
        for module, _, name in imports_of(package):
            while name and not {name, f"{name}.__init__"} & modules:
                name = name.rpartition(".")[0]  # from a name in a module to the module
            if name:
                edges.add((module, name if name in modules else f"{name}.__init__"))
    return edges


def circles(edges: set[tuple[str, str]]) -> list[list[str]]:
    """A circle for each package whose own modules and packages depend on one another in one."""
    siblings: dict[str, dict[str, set[str]]] = {}
    for importing, imported in edges:
        one, other = importing.split("."), imported.split(".")
        depth = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
        if depth is not None:
            graph = siblings.setdefault(".".join(one[:depth]), {})
            graph.setdefault(".".join(one[: depth + 1]), set()).add(".".join(other[: depth + 1]))
    return [circle for graph in siblings.values() if (circle := circle_of(graph))]


def circle_of(graph: Mapping[str, set[str]]) -> list[str]:
    """Nodes that lead from one to the next and back to the first; empty where there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        nodes: list[str] = error.args[1]
        return nodes[::-1]
    return []


def run_python(code: str, *arguments: str) -> str:
    """What a fresh interpreter in the repository root prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
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
    names = {"ray.util", "json", "nltk", "webdataset", "pydantic"}
    assert at_the_top == names | {"stages.ingest.sibling", "stages.storage.Storage"}


def test_the_checker_sees_circles_of_modules_and_of_packages() -> None:
    assert circles({("a.x", "a.y"), ("a.y", "a.z"), ("b.x", "a.x")}) == []
    (circle,) = circles({("a.x", "a.y"), ("a.y", "a.z"), ("a.z", "a.x")})
    assert sorted(circle[1:]) == ["a.x", "a.y", "a.z"] and circle[0] == circle[-1]
    assert circles({("a.p.x", "a.q.x"), ("a.q.y", "a.p.y")})[0][1:] in (["a.p", "a.q"], ["a.q", "a.p"])
    assert circles({("a.p.__init__", "a.p.x"), ("a.p.y", "a.p.__init__")}) == []
    assert ("tests.test_layers", "tests.stages.tars") not in module_imports(("tests",))
    assert ("tests.stages.tars", "tests.stages.image_files") in module_imports(("tests",))


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if (ROOT / layer).is_dir()])
def test_a_layer_imports_lower_layers_only(layer: str) -> None:
    assert modules_of(layer), f"{layer}/ holds no Python files"
    higher = set(LAYERS[LAYERS.index(layer) + 1 :])
    assert found(layer, higher | {"tests", *SCRIPTS}) == []


@pytest.mark.parametrize(("lower", "higher"), [*pairwise(PIPELINE)])
def test_inside_pipeline_a_package_imports_lower_packages_only(lower: str, higher: str) -> None:
    above = PIPELINE[PIPELINE.index(higher) :]
    assert modules_of(f"pipeline/{higher}"), f"pipeline/{higher}/ holds no Python files"
    assert found(f"pipeline/{lower}", {f"pipeline.{package}" for package in above}) == []


@pytest.mark.parametrize(("lower", "higher"), [*pairwise(SCRIPTS)])
def test_recipes_stand_below_benchmarks_and_these_below_experiments(lower: str, higher: str) -> None:
    assert found(lower, {*SCRIPTS[SCRIPTS.index(higher) :], "tests"}) == []


def test_no_modules_and_no_packages_import_each_other() -> None:
    """Type-only imports and those inside functions count, too."""
    assert circles(module_imports((*LAYERS, *SCRIPTS))) == []


@pytest.mark.parametrize("layer", ["schemas", "model", "stages"])
def test_only_the_pipeline_knows_ray_and_terminals(layer: str) -> None:
    assert found(layer, {"ray", "typer", "rich"}) == []


@pytest.mark.parametrize("layer", ["model", "stages"])
def test_what_a_labelling_machine_lacks_is_imported_where_it_is_used(layer: str) -> None:
    assert found(layer, LAZY, only_top=True) == []


def test_nothing_imports_torchvision() -> None:
    assert [line for layer in LAYERS for line in found(layer, {"torchvision"})] == []


def test_every_module_can_be_the_first_to_be_imported() -> None:
    """In one fresh interpreter: before each module, all of ours are forgotten, and other packages stay."""
    code = """
import importlib, sys
modules, ours = sys.argv[1].split(","), tuple(sys.argv[2].split(","))
for module in modules:
    for name in [name for name in sys.modules if name.partition(".")[0] in ours]:
        del sys.modules[name]
    importlib.import_module(module)
    assert module in sys.modules
print(len(modules))
"""
    names = [module.removesuffix(".__init__") for layer in LAYERS for module in modules_of(layer)]
    names = [name for name in names if not name.endswith(".__main__")]  # these run
    assert int(run_python(code, ",".join(names), ",".join(LAYERS))) == len(names) > 150


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
