"""`phrasebox show`, `query` and `export` on a small run, as a person types them."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.run.lock import RunLock
from pipeline.storage.open import open_storage
from tests.pipeline.cli.conftest import Command

KEY = "000000000001"
CLEAR = b"\x1b[H\x1b[2J"  # a screen begins


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six scenes, labelled by the packaged teacher and filtered leniently."""
    from pipeline.cli.commands import Options, run_rounds

    folder = tmp_path_factory.mktemp("tools")
    (folder / "config.yaml").write_text("{}")
    settings = ["ingest.source=scenes", "ingest.count=6", "part_size=4", "filter.min_score=0.2"]
    run_rounds(str(folder / "config.yaml"), settings, str(folder / "run"), None, "filter", Options(inline=True))
    return str(folder / "run")


def test_a_sample_is_shown_as_text_and_as_a_file(run: str, phrasebox: Command, tmp_path: Path) -> None:
    done = phrasebox("show", run, KEY, "--out", str(tmp_path))
    assert done.returncode == 0 and done.stdout.startswith(KEY)
    with Image.open(tmp_path / f"{KEY}.png") as image:
        assert min(image.size) >= 224
    assert phrasebox("show", run, "--phrase", "no such phrase").returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY}.png"]


def test_a_query_elsewhere_than_on_a_terminal_is_values(run: str, phrasebox: Command) -> None:
    sql = "SELECT key, caption FROM pairs ORDER BY key"
    for option, divider in ((None, "\t"), ("--csv", ",")):
        done = phrasebox("query", run, sql, *([option] if option else []))
        names, *rows = csv.reader(io.StringIO(done.stdout), delimiter=divider)
        assert names == ["key", "caption"] and len(rows) == 6 and rows[1][0] == KEY
    wrong = phrasebox("query", run, "SELECT nothing FROM nowhere")
    assert wrong.returncode == 2 and "nowhere" in wrong.stderr and "Traceback" not in wrong.stderr


def test_an_export_lies_in_the_run_or_where_it_was_asked_for(run: str, phrasebox: Command, tmp_path: Path) -> None:
    assert phrasebox("export", run, "--format", "odvg").returncode == 0
    lines = (Path(run) / "export-odvg" / "odvg.jsonl").read_text("utf-8").splitlines()
    names = {json.loads(line)["filename"] for line in lines}
    assert names and all((Path(run) / "export-odvg" / name).is_file() for name in names)
    out = str(tmp_path / "elsewhere")
    done = phrasebox("export", run, "--format", "odvg", "--out", out, "--no-images", "--min-score", "0.1")
    assert done.returncode == 0 and f"{out}: " in done.stdout
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["odvg.jsonl"]
    assert len((tmp_path / "elsewhere" / "odvg.jsonl").read_text("utf-8").splitlines()) >= len(lines)


def test_an_option_reaches_the_formats_that_take_it(run: str, phrasebox: Command, tmp_path: Path) -> None:
    asked = {}
    for seed in ("0", "1"):
        out = tmp_path / seed
        options = ("--format", "shikra", "--seed", seed, "--no-images", "--out", str(out), "--min-score", "0.1")
        assert phrasebox("export", run, *options).returncode == 0
        rows = [json.loads(line) for line in (out / "conversations.jsonl").read_text("utf-8").splitlines()]
        asked[seed] = [row["conversations"][0]["value"] for row in rows]
    assert len(asked["0"]) == len(asked["1"]) > 5 and asked["0"] != asked["1"]
    wrong = phrasebox("export", run, "--format", "shikra", "--max-pixels", "50176")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1
    assert "--max-pixels means nothing to the format shikra" in wrong.stderr


def test_expressions_are_found_again_without_labelling_anew(run: str, phrasebox: Command, tmp_path: Path) -> None:
    """The option recomputes the phrases and nothing behind them; turned off, their bytes are what they were."""
    own = tmp_path / "run"
    shutil.copytree(run, own)
    parts = sorted((own / "phrases").iterdir())
    before = [part.read_bytes() for part in parts]
    option = ("--set", "phrases.expressions=true")
    for stage in ("phrases", "label", "filter"):
        assert phrasebox(stage, "--run", str(own), "--inline", *option).returncode == 0
    made = json.loads((own / "commits/label/part-0000000.json").read_text("utf-8"))
    assert made == json.loads((Path(run) / "commits/label/part-0000000.json").read_text("utf-8"))
    assert phrasebox("export", str(own), "--format", "grit", "--no-images").returncode == 0
    [row, *_] = pq.read_table(own / "phrases/part-0000000.parquet").to_pylist()
    assert len(row["expressions"]) == len(row["phrases"])
    assert phrasebox("phrases", "--run", str(own), "--inline", "--set", "phrases.expressions=false").returncode == 0
    assert [part.read_bytes() for part in parts] == before


def test_images_of_an_export_are_upright_or_as_they_are_stored(run: str, phrasebox: Command, tmp_path: Path) -> None:
    for pictures in ("upright", "stored"):  # nothing is turned in scenes, so that both are the same
        out = tmp_path / pictures
        assert phrasebox("export", run, "--format", "coco", "--out", str(out), "--pictures", pictures).returncode == 0
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / one / "images").iterdir()}
        for one in ("upright", "stored")
    ]
    assert files[0] == files[1] and files[0]
    wrong = phrasebox("export", run, "--format", "coco", "--pictures", "sideways")
    assert wrong.returncode == 2 and "upright" in wrong.stderr and "stored" in wrong.stderr


def test_a_pair_is_explained_as_text_and_as_a_file(run: str, phrasebox: Command, tmp_path: Path) -> None:
    done = phrasebox("explain", run, KEY, "--out", str(tmp_path))
    assert done.returncode == 0 and done.stdout.startswith(KEY) and "phrases  " in done.stdout
    assert "filter   " in done.stdout and "shard    not made yet" in done.stdout
    with Image.open(tmp_path / f"{KEY}-explained.png") as image:
        assert min(image.size) >= 224
    for key in ("nothing", "999999900000"):
        wrong = phrasebox("explain", run, key)
        assert wrong.returncode == 2 and "explain:" in wrong.stderr and "Traceback" not in wrong.stderr


def test_a_run_that_rests_is_watched_once(run: str, phrasebox: Command) -> None:
    done = phrasebox("status", run, "--watch")
    assert done.returncode == 0 and "not running" in done.stdout and "\x1b" not in done.stdout
    assert "label     2/2 parts, 6 pairs" in done.stdout and "rejected  nothing" in done.stdout
    both = phrasebox("status", run, "--watch", "--json")
    assert both.returncode == 2 and "give one" in both.stderr


def test_a_run_under_way_is_watched_until_it_ends(run: str) -> None:
    """On a terminal, screen after screen; the command ends with the run."""
    terminal, other_end = pty.openpty()
    seen = b""
    with RunLock(open_storage(run)):
        command = [sys.executable, "-m", "pipeline.cli", "status", run, "--watch"]
        watching = subprocess.Popen(command, stdout=other_end, stderr=other_end)
        os.close(other_end)
        while seen.count(CLEAR) < 3:
            seen += os.read(terminal, 1 << 16)
    with suppress(OSError):  # what Linux says of a terminal that nobody has open any more
        while data := os.read(terminal, 1 << 16):
            seen += data
    assert watching.wait() == 0
    os.close(terminal)
    _, first, *_, last = seen.decode().split(CLEAR.decode())
    assert f"running (pid {os.getpid()}" in first and "label     2/2 parts, 6 pairs" in first
    assert "not running" in last and "Traceback" not in last
