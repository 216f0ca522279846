"""The example stages of CONTRIBUTING.md are what it says: one file and one line each, and they run like any other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import stages
from pipeline.cli.commands import Options, run_stage, verify_run
from tests.waiting import LIMIT

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LENGTHS, WORDS, CAPTIONS_EXPORT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CAPTIONS = ["a dog", "two green apples on a table", "sunset", "a two-seater on a well-kept road", "the red ball"]


def write_source(folder: Path) -> list[str]:
    """A table of captions; returns the settings that name it."""
    rows = ["caption\turl", *(f"{text}\thttps://example.org/{n}" for n, text in enumerate(CAPTIONS))]
    (folder / "pairs.tsv").write_text("\n".join(rows) + "\n")
    source = [
        f"ingest.source={folder / 'pairs.tsv'}",
        "ingest.format=table",
        "ingest.url=url",
        "ingest.caption=caption",
    ]
    return [*source, "part_size=2"]


def test_the_example_stage_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lengths.py").write_text(LENGTHS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(stages.STAGES, "lengths", "lengths:LengthsStage")
    run = tmp_path / "run"
    run_stage(None, write_source(tmp_path), str(run), "ingest", Options(inline=True))
    run_stage(None, [], str(run), "lengths", Options(inline=True))
    parts = sorted((run / "lengths").glob("part-*.parquet"))
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    keys = ["000000000000", "000000000001", "000000100000", "000000100001", "000000200000"]
    assert [row["key"] for row in rows] == keys
    assert [row["words"] for row in rows] == [2, 6, 1, 6, 3]
    verify_run(str(run), quick=False, workers=1)  # raises typer.Exit where something does not add up


class Checkout:
    """A copy of the packages into which the examples are added, and the command as a person types it there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("schemas", "model", "pipeline"):
            (folder / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, name: str, code: str, line: str, after: str, registry: str = "stages/__init__.py") -> None:
        """A file below stages/, and its line behind another one in a registry."""
        assert line in PAGE
        (self.folder / "stages" / f"{name}.py").write_text(code, encoding="utf-8")
        self.register(self.folder / registry, line, after)

    def register(self, registry: Path, line: str, after: str) -> None:
        text = registry.read_text(encoding="utf-8")
        (before,) = (entry for entry in text.splitlines() if entry.strip().startswith(f'"{after}":'))
        registry.write_text(text.replace(before, f"{before}\n    {line},"), encoding="utf-8")

    def phrasebox(self, *arguments: str, code: int = 0) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pipeline.cli", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    made = Checkout(tmp_path_factory.mktemp("checkout"))
    made.add("lengths", LENGTHS, '"lengths": "stages.lengths:LengthsStage"', "ingest")
    made.add("words", WORDS, '"words": "stages.words:WordsStage"', "phrases")
    line = '"captions": "stages.export.captions:CaptionsExport"'
    made.add("export/captions", CAPTIONS_EXPORT, line, "grit", "stages/export/formats.py")
    return made


def table(run: Path, dataset: str) -> list[list[int]]:
    return [row for part in sorted((run / dataset).glob("*")) for row in pq.read_table(part)[dataset].to_pylist()]


def test_one_file_and_one_line_make_a_side_table(checkout: Checkout, tmp_path: Path) -> None:
    """On Ray and inline, turned on and off, as a command, in status, verify, the dry run and the report."""
    settings = [option for setting in write_source(tmp_path) for option in ("--set", setting)]
    config = tmp_path / "config.yaml"
    config.write_text("words: {enabled: true, hyphens: true}\n")
    arguments = ["run", str(config), *settings, "--until", "words"]
    ray, inline = tmp_path / "ray", tmp_path / "inline"
    checkout.phrasebox(*arguments, "--run", str(ray), "--workers", "2")
    checkout.phrasebox(*arguments, "--run", str(inline), "--inline")
    assert table(ray, "words") == [[2], [3, 2], [1], [3, 4], [3]]
    for part in (ray / "words").iterdir():
        assert part.read_bytes() == (inline / "words" / part.name).read_bytes()
    assert "words     3/3 done, 5 pairs in, 5 out" in checkout.phrasebox("status", str(ray))
    assert "words 3" in checkout.phrasebox("verify", str(ray))
    assert "nothing to be done" in checkout.phrasebox(*arguments, "--run", str(ray), "--inline")
    plan = checkout.phrasebox(*arguments, "--run", str(ray), "--dry-run", "--set", "words.hyphens=false")
    assert "  words     3 parts, 5 pairs to make" in plan and "  phrases   done" in plan
    assert "words      3 parts, beside phrases" in checkout.phrasebox("audit", str(ray), "--inline")
    assert '"words": {\n   "items": 7,\n   "rows": 5\n  }' in (ray / "report" / "stats.json").read_text()
    off = [*arguments, "--run", str(ray), "--inline", "--set", "words.enabled=false"]
    assert "nothing to be done" in checkout.phrasebox(*off)
    assert "off, so that no other stage reads it" in checkout.phrasebox("status", str(ray))
    checkout.phrasebox("audit", str(ray), "--inline")
    assert "side_tables" not in (ray / "report" / "stats.json").read_text()
    said = checkout.phrasebox("words", str(ray), "--set", "words.hyphens=false", "--inline")
    assert "words is off in the config" in said and table(ray, "words") == [[2], [3, 2], [1], [2, 3], [3]]
    assert "words is off in the config; turn it on" in checkout.phrasebox(*off, "--from", "words", code=2)


def test_a_removed_pair_leaves_the_side_table(checkout: Checkout, tmp_path: Path) -> None:
    settings = [option for setting in write_source(tmp_path) for option in ("--set", setting)]
    (tmp_path / "config.yaml").write_text("words: {enabled: true}\n")
    run = tmp_path / "run"
    checkout.phrasebox(
        "run", str(tmp_path / "config.yaml"), *settings, "--run", str(run), "--until", "words", "--inline"
    )
    (tmp_path / "ids").write_text("pairs.tsv#1\n")
    said = checkout.phrasebox("remove", str(run), "--source-ids", str(tmp_path / "ids"), "--inline")
    assert "1 of 1 ids are in this run" in said and table(run, "words") == [[2], [1], [2, 3], [3]]
    assert "words 3" in checkout.phrasebox("verify", str(run))


def test_it_is_a_command_with_a_section_like_any_other(checkout: Checkout, tmp_path: Path) -> None:
    text = " ".join(checkout.phrasebox("--help").split())
    assert "lengths pairs -> lengths: the number of words of each caption." in text
    assert "words phrases -> words: the number of words of each phrase." in text
    shown = checkout.phrasebox("config", "--set", "words.hyphens=true")
    assert "words:\n  enabled: false\n  hyphens: true\n" in shown
    problem = checkout.phrasebox("config", "--set", "words.hyphen=true", code=2)
    assert "words.hyphen: unknown key; did you mean words.hyphens?" in problem


def test_one_file_and_one_line_make_an_export_format(checkout: Checkout, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = ["--set", "ingest.source=scenes", "--set", "ingest.count=6", "--set", "label.teacher=glip-nano"]
    for stage in ("ingest", "phrases", "label", "filter"):
        checkout.phrasebox(stage, "--run", str(run), *settings, "--inline")
    checkout.phrasebox("export", str(run), "--format", "captions", "--out", str(tmp_path / "out"))
    lines = [line.split("\t") for line in (tmp_path / "out" / "captions.tsv").read_text().splitlines()]
    assert len(lines) >= 3
    rows = {key: row for part in (run / "pseudo").glob("*") for key, row in keyed(part).items()}
    captions = {key: row for part in (run / "phrases").glob("*") for key, row in keyed(part).items()}
    for name, count, caption in lines:
        key = Path(name).stem
        assert (tmp_path / "out" / name).stat().st_size > 1000
        assert (int(count), caption) == (len(rows[key]["boxes"]), repr(captions[key]["caption"]))


def keyed(part: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in pq.read_table(part).to_pylist()}
