"""The pages speak of what is there: commands and their options, config keys, files, images, names in the code."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli.app import app
from schemas.config import Config
from schemas.records import DATASETS, schema_of

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ("recipes", "benchmarks", "experiments")
CODE = ("schemas", "model", "stages", "pipeline", "phrasebox", "configs", *SCRIPTS, "docker")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted(page for folder in SCRIPTS for page in (ROOT / folder).rglob("*.md"))
CHILDREN = {ROOT / "benchmarks" / "teacher_measure.py"}  # started by another script, in a process of its own
OPTIONAL = re.compile(r" \[[^\]]*\]")  # `[--out FOLDER]`: what a reader may add
SECTIONS = {name: field.annotation for name, field in Config.model_fields.items() if name not in ("run", "corpus")}
FOREIGN = {"resize_mode", "lvis_v1_val"}  # settings and files of others that a page speaks of

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def command_lines(page: Path) -> list[str]:
    """Every `phrasebox COMMAND ...` that stands in an indented or fenced block, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    indented = re.findall(r"^ {4,}(phrasebox [a-z].*)$", text, re.MULTILINE)
    return indented + re.findall(r"^(?:\$ )?(phrasebox [a-z].*)$", fenced, re.MULTILINE)


def code_spans(page: Path) -> list[str]:
    """What stands between backticks, and the indented blocks."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^ {4,}(.*)$", text, re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)) + blocks


def script_modules(text: str) -> set[str]:
    """The modules of `python -m recipes...`, benchmarks and experiments."""
    return set(re.findall(rf"python -m ((?:{'|'.join(SCRIPTS)})[\w.]*\w)", text))


def named_files(page: Path) -> set[str]:
    """Paths of the repository; names in capitals are for the reader to fill in."""
    folders = "|".join((*CODE, "docs", "tests"))
    found = re.findall(rf"(?<![\w./-])((?:{folders})/[\w./-]*\w/?)", " ".join(code_spans(page)))
    return {path for path in found if not re.search(r"[A-Z]{2}", path)}


@cache
def words_of_the_code() -> frozenset[str]:
    paths = [path for folder in CODE for path in (ROOT / folder).rglob("*")]
    names = {path.stem for path in (*paths, *(ROOT / "tests").rglob("*.py"))}
    files = [path for path in paths if path.suffix in (".py", ".yaml", ".html", ".json") and path.stat().st_size < 1e6]
    return frozenset(names.union(*(re.findall(r"\w+", path.read_text(encoding="utf-8")) for path in files)))


def test_there_is_something_to_check() -> None:
    assert len(PAGES) >= 8
    assert len(command_lines(ROOT / "docs" / "scaling.md")) >= 6
    assert {"truncated_image", "exact_phrases", "boxes_per_image"} <= words_of_the_code()
    assert "schemas/reasons.py" in named_files(ROOT / "docs" / "ingest.md")


@each_page
def test_commands_on_a_page_can_be_typed(page: Path) -> None:
    group: Any = typer.main.get_command(app)
    typed = [shlex.split(OPTIONAL.sub("", line), comments=True)[1:] for line in command_lines(page)]
    assert {name for name, *_ in typed} <= set(group.commands)
    for name, *arguments in typed:
        group.commands[name].make_context(name, arguments)  # raises for an option that the command does not take


@each_page
def test_settings_on_a_page_are_keys_of_the_config(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    given = {name.partition(".")[::2] for name in re.findall(r"--set ([\w.]+)=", text)}
    assert {
        (section, key) for section, key in given if (key or section) not in keys_of(section if key else "")
    } == set()
    named = set(re.findall(rf"`({'|'.join(SECTIONS)})\.([a-z_]+)`", text))
    named = {(section, key) for section, key in named if key not in ("tsv", "yaml", "py", "json")}  # names of files
    assert {(section, key) for section, key in named if key not in keys_of(section) | columns_of(section)} == set()


def keys_of(section: str) -> set[str]:
    """The settings of a section of the config, or those of the whole."""
    return set((SECTIONS[section] if section else Config).model_fields)


def columns_of(dataset: str) -> set[str]:
    """The columns of a dataset and the fields in them; nothing for what is no dataset."""
    columns = schema_of(dataset).names if dataset in DATASETS else []
    return {*columns, *(field.name for column in columns for field in _fields(schema_of(dataset).field(column).type))}


def _fields(kind: Any) -> list[Any]:
    inner = getattr(kind, "value_type", kind)
    return [inner.field(i) for i in range(inner.num_fields)]


@each_page
def test_files_on_a_page_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]* src=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
    local = {link for pair in links for link in pair if link and "://" not in link}
    assert {link for link in local if not (page.parent / link).exists()} == set()
    assert {path for path in named_files(page) if not (ROOT / path).exists()} == set()


@each_page
def test_names_on_a_page_are_in_the_code(page: Path) -> None:
    """`snake_case` words: reason codes, warnings, columns, keys of stats.json, settings, functions."""
    spans = re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8"))
    words = {word for span in spans for word in re.findall(r"(?<![\w/-])[a-z]+(?:_[a-z0-9]+)+(?![\w/-])", span)}
    assert words - words_of_the_code() - FOREIGN == set()


def test_images_of_the_docs_are_shown() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    images = [path.name for path in (ROOT / "docs" / "images").iterdir()]
    assert images and [name for name in images if f"images/{name}" not in text] == []


DOCUMENTED = sorted({module for page in PAGES for module in script_modules(page.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("module", DOCUMENTED)
def test_a_script_starts_as_a_person_types_it(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("usage:"), done.stderr


def test_a_script_says_how_it_is_started() -> None:
    """The docstring of every module that has a command line holds its command, `python -m MODULE`, and no other way."""
    files = [path for folder in SCRIPTS for path in sorted((ROOT / folder).rglob("*.py"))]
    sources = {path: path.read_text(encoding="utf-8") for path in files}
    scripts = {path: source for path, source in sources.items() if '__name__ == "__main__"' in source}
    assert len(scripts) > 20
    for path, source in scripts.items():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        named = script_modules(ast.get_docstring(ast.parse(source)) or "")
        assert named == {module} or path in CHILDREN, path
    paths = [path for path, source in sources.items() if re.search(r"python [\w/]+\.py|sys\.path", source)]
    assert paths == [], "run as a module of the repository's root, never by path"


def test_every_package_of_an_installation_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[>\[ ]", name)[0] for name in project["dependencies"]} | {"spacy"}
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    part = text.partition("## What it is built on")[2].partition("\n## ")[0]
    assert len(needed) > 15 and needed <= set(re.findall(r"`([\w-]+)`", part))
