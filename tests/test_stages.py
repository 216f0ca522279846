"""The stages there are, by the names of their commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stages import STAGES, load_stage


def test_each_name_is_that_of_its_class() -> None:
    assert [load_stage(name).name for name in STAGES] == list(STAGES)


def test_there_is_no_other() -> None:
    with pytest.raises(KeyError, match="polish"):
        load_stage("polish")


def test_listing_them_imports_none_of_them() -> None:
    code = "import sys, stages; print([name for name in sys.modules if name.startswith(('stages.', 'model', 'torch'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
