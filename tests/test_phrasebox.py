"""The face: what `import phrasebox` gives, and what it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import phrasebox
import stages.stage
from pipeline import __version__
from tests.phrasebox.test_run import HEAVY, ROOT
from tests.waiting import LIMIT


def test_the_face_and_the_layers_are_one() -> None:
    assert phrasebox.UserError is stages.stage.UserError
    assert phrasebox.__version__ == __version__


def test_the_import_is_light() -> None:
    code = (
        "import json, sys, phrasebox; print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]));"
        "print(phrasebox.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code, *HEAVY], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    loaded, version = done.stdout.splitlines()
    assert json.loads(loaded) == [] and version == phrasebox.__version__
