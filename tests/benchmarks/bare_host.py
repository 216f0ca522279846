"""A Python that has a few packages of this environment, and what these need, and nothing else: a machine for a GPU."""

from __future__ import annotations

import re
import venv
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

HOST = ("torch", "transformers", "numpy", "pillow", "pyarrow", "pyyaml", "typer", "rich", "triton")


def bare_python(folder: Path, packages: Iterable[str], without: Iterable[str] = ()) -> Path:
    """Its executable. What is in `without` is left out, whoever needs it."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in needed(packages, without):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
            place = Path(str(found.locate_file(top)))
            if place.exists() and not (site / top).exists():
                (site / top).symlink_to(place)
    return folder / "bin" / "python"


def needed(packages: Iterable[str], without: Iterable[str]) -> set[str]:
    """The packages, and those that they name, extras aside."""
    found, asked = set[str](), [normal(name) for name in packages]
    left_out = {normal(name) for name in without}
    while asked:
        name = asked.pop()
        if name in found | left_out:
            continue
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:  # for another system or Python
            continue
        found.add(name)
        asked += [normal(line) for line in requirements if "extra" not in line.partition(";")[2]]
    return found


def normal(requirement: str) -> str:
    """The name alone, as indexes write it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()
