"""docs/installing.md: its extras are those of the package, and its list is all that a machine needs for labelling."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/installing.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LABEL = '''
import json, sys
hidden = set(json.loads(sys.argv.pop(1)))
class Without:
    """What a finder finds, but for the hidden packages."""
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from phrasebox.__main__ import main
main(sys.argv[1:])
'''


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def listed() -> set[str]:
    (block,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return {canonicalize_name(line) for line in block.split()}


def test_the_table_has_every_extra() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE, re.MULTILINE))
    assert set(rows) == set(PROJECT["optional-dependencies"]) - {"dev"}


def test_the_list_is_part_of_the_base() -> None:
    assert listed() < names(PROJECT["dependencies"])


@pytest.mark.slow
def test_a_machine_labels_with_what_is_on_the_list(tmp_path: Path) -> None:
    """All else that any installation has is out of reach; its dependencies may be, too."""
    extras = [line for name, extra in PROJECT["optional-dependencies"].items() for line in extra if name != "dev"]
    absent = names([*PROJECT["dependencies"], *extras]) - listed() - {"phrasebox"}
    owners = {name: set(map(canonicalize_name, found)) for name, found in packages_distributions().items()}
    hidden = sorted(name for name, found in owners.items() if found <= absent)
    assert {"duckdb", "pandas", "jinja2", "webdataset", "nltk"} <= set(hidden)
    settings = [f"run={tmp_path}/run", "ingest.source=scenes", "ingest.count=2", "label.short=64", "label.device=cpu"]
    (tmp_path / "run.yaml").write_text("{}")
    command = [sys.executable, "-c", LABEL, json.dumps(hidden), "run", str(tmp_path / "run.yaml"), "--until", "label"]
    command += ["--inline", *(word for setting in settings for word in ("--set", setting))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/commits/label/part-0000000.json").exists()
