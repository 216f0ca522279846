"""The names of the layers in a checkout; those of a wheel: tests/test_wheel.py."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import phrasebox
import stages.stage
from phrasebox import names
from pipeline import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's folder, with packages that are named like ours."""
    for name in names.LAYERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("WHOSE = 'theirs'\n")
    return tmp_path


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """As typed in that folder, which comes before the checkout on the path."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_the_face_and_the_layers_are_one() -> None:
    assert phrasebox.UserError is stages.stage.UserError
    assert phrasebox.__version__ == __version__


def test_a_module_has_two_names_in_a_checkout() -> None:
    import phrasebox.stages.filter.stage
    import stages.filter.stage

    assert phrasebox.stages is stages and phrasebox.stages.filter.stage is stages.filter.stage
    assert stages.filter.stage.__spec__ is not None and stages.filter.stage.__spec__.name == "stages.filter.stage"
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'phrasebox\.stages\.nothing'"):
        importlib.import_module("phrasebox.stages.nothing")


def test_a_checkout_comes_before_the_working_directory(project: Path) -> None:
    done = run_python("import phrasebox, model, stages; print(model.__file__, stages.__file__)", project)
    assert done.stdout.split() == [str(ROOT / name / "__init__.py") for name in ("model", "stages")], done.stderr


def test_a_checkout_refuses_a_name_that_is_taken(project: Path) -> None:
    done = run_python("import model, phrasebox", project)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(
        f"ImportError: phrasebox runs from a checkout, whose package 'model' has the name of {project}"
    )
    assert "install its wheel" in line


def test_a_run_started_as_a_module_leaves_the_working_directory_alone(project: Path) -> None:
    command = [sys.executable, "-m", "phrasebox", "config"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.startswith("run:"), done.stderr


def test_who_asks_is_seen_by_the_import(tmp_path: Path) -> None:
    assert names.stands_in_a_file()
    namespace: dict[str, object] = {"asks": names.stands_in_a_file}
    exec("answer = asks()", namespace)
    assert namespace["answer"] is False
