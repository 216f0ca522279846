"""The benchmark's synthetic parts, and that the audit counts in them what was put in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import audit
from benchmarks.record import ROOT
from schemas.config import Config


def test_its_parts_have_the_shape_of_the_papers_data() -> None:
    expected = sum(i * p for i, p in enumerate(audit.BOXES_PER_PHRASE)) * audit.KEPT_SHARE * 3.355
    assert expected == pytest.approx(78.1 / 24, rel=0.03)


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.audit", "--pairs", "12000", "--workers", "1"]
    command += ["--scratch", str(tmp_path), "--out", str(tmp_path / "result.json")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["pairs"], result["parts"]) == (12_000, 2)
    assert result["headline"]["boxes"] == result["boxes"] > 3 * 12_000
    assert result["headline"]["unique_phrases"] > 10_000
    assert not list(tmp_path.glob("tmp*"))


def test_it_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PART", 40)
    monkeypatch.setattr(audit, "BLOCK", 1)

    def measure(folder: Path, answers: list[bool]) -> Any:
        config = Config.model_validate({"run": str(folder), "audit": {"pictures": 2}})
        return audit.measure(folder, 100, 1, config, lambda: answers.pop(0))

    (tmp_path / "whole").mkdir()
    (tmp_path / "pieces").mkdir()
    whole = measure(tmp_path / "whole", [False] * 3)
    assert measure(tmp_path / "pieces", [False, True]) is None
    assert measure(tmp_path / "pieces", [False, True]) is None
    pieces = measure(tmp_path / "pieces", [False])
    for result in (whole, pieces):
        assert set(result.pop("seconds")) == {"summaries", "merge", "total"}
        assert result.pop("peak_memory_bytes")["merge"] > 0
    assert whole == pieces and whole["headline"]["pairs"] == 100
