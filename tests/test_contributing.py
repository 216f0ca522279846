"""The example stage of CONTRIBUTING.md is what it says: one file and one line, and it runs like any other stage."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import stages
from pipeline.cli.commands import Options, run_stage, verify_run

PAGE = Path(__file__).resolve().parent.parent / "CONTRIBUTING.md"


def test_the_example_stage_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "lengths.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(stages.STAGES, "lengths", "lengths:LengthsStage")

    run = tmp_path / "run"
    captions = ["a dog", "two green apples on a table", "sunset"]
    table = "\n".join(["caption\turl", *(f"{text}\thttps://example.org/{n}" for n, text in enumerate(captions))])
    (tmp_path / "pairs.tsv").write_text(table + "\n", encoding="utf-8")
    settings = [f"ingest.source={tmp_path / 'pairs.tsv'}", "ingest.format=table", "ingest.url=url", "part_size=2"]
    settings.append("ingest.caption=caption")

    run_stage(None, settings, str(run), "ingest", Options(inline=True))
    run_stage(None, [], str(run), "lengths", Options(inline=True))

    parts = sorted((run / "lengths").glob("part-*.parquet"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    assert [row["key"] for row in rows] == ["000000000000", "000000000001", "000000100000"]
    assert [row["words"] for row in rows] == [2, 6, 1]
    verify_run(str(run), quick=False, workers=1)  # raises typer.Exit where something does not add up
