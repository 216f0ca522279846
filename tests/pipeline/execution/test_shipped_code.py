"""Workers of a local Ray run the code of the driver; those of a cluster: tests/docker/test_compose_runs.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
START = "import sys; sys.path[0] = sys.argv.pop(1); from pipeline.cli.app import main; main(sys.argv[1:])"


@pytest.mark.slow
def test_a_package_of_the_folder_that_a_run_starts_in_is_left_alone(tmp_path: Path) -> None:
    """Names like `model` are common, and Ray lets workers look into that folder first unless told otherwise."""
    for name in ("schemas", "model", "stages", "pipeline"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('this is not phrasebox')\n")
    source = {"source": "scenes", "count": 2}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"run": "run", "ingest": source}))
    command = [sys.executable, "-c", START, str(ROOT), "run", "run.yaml", "--until", "ingest", "--workers", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "run/commits/ingest").iterdir())) == 1
