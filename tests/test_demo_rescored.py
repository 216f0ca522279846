"""The demo with rescoring, offline: a tiny random checkpoint, one process and two workers, killed and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.digests import digests
from tests.similarity_models import save_checkpoint
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
PAIRS, PART = 16, 4
DATA = ("pairs", "phrases", "labels", "scores", "pseudo", "shards", "rejects", "report")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint("siglip2", tmp_path_factory.mktemp("model"))


def start(run: Path, model: Path, *more: str) -> subprocess.Popen[str]:
    settings = {"ingest.count": PAIRS, "part_size": PART, "rescore.model": model, "audit.pictures": 4}
    command = ["run", "configs/demo_rescored.yaml", "--run", str(run), "--until", "audit", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *command, *(f"--set={key}={value}" for key, value in settings.items())],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def fingers(run: Path) -> dict[str, str]:
    """sha256 of every data file."""
    return digests(run, DATA)


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    run = tmp_path_factory.mktemp("inline") / "run"
    said = finish(start(run, model, "--inline"))
    assert "scores     4 parts, beside labels" in said
    return run


def command(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "pipeline.cli", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_bytes_of_an_undisturbed_one(
    inline: Path, model: Path, tmp_path: Path
) -> None:
    wanted = fingers(inline)
    assert {name.partition("/")[0] for name in wanted} == set(DATA)
    run = tmp_path / "run"
    process = start(run, model, "--workers", "1")
    wait_for((run / "commits/rescore/part-0000000.json").exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = len(list((run / "commits/rescore").glob("part-*.json")))
    finish(start(run, model, "--workers", "2"))
    assert 1 <= done <= PAIRS // PART and fingers(run) == wanted
    assert "all in order" in command("verify", str(run))


@pytest.mark.slow
def test_every_box_has_its_scores_and_every_loss_its_reason(inline: Path) -> None:
    seen = kept = 0
    for part in range(PAIRS // PART):
        name = f"part-{part:07d}.parquet"
        tables = [pq.read_table(inline / folder / name).to_pylist() for folder in ("labels", "scores", "pseudo")]
        for labels, scores, pseudo in zip(*tables, strict=True):
            assert labels["key"] == scores["key"] == pseudo["key"] and -1 <= scores["image"] <= 1
            gone = {entry["box"]: entry["reason"] for entry in pseudo["dropped"]}
            for number, (box, score) in enumerate(zip(labels["boxes"], scores["boxes"], strict=True)):
                assert (score["score"] is None) == (box["score"] < 0.3)
                seen += score["score"] is not None
                if number not in gone:
                    assert score["score"] > 0 and score["best_score"] >= score["score"]
                    kept += 1
                if gone.get(number) == "low_region_score":
                    assert score["score"] <= 0
    assert 0 < kept < seen


@pytest.mark.slow
def test_shards_and_sql_have_the_cosines(inline: Path) -> None:
    sql = "SELECT key, region_score, image_score FROM boxes_flat WHERE kept ORDER BY key, box"
    rows = [line.split(",") for line in command("query", str(inline), sql, "--csv").split()[1:]]
    expected = [(key, float(region), float(image)) for key, region, image in rows]
    found = []
    for path in sorted((inline / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            for record in (json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")):  # type: ignore[arg-type]
                found += [(record["key"], box["region_score"], record["image_score"]) for box in record["boxes"]]
    assert [entry[0] for entry in found] == [entry[0] for entry in expected] and len(found) > 5
    for one, other in zip(found, expected, strict=True):
        assert one[1:] == pytest.approx(other[1:], abs=1e-6)


@pytest.mark.slow
def test_other_thresholds_cost_no_second_look(inline: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(inline, run)
    before = {path: path.stat().st_mtime_ns for path in (run / "commits").rglob("part-*.json")}
    rules = [f"--set=filter.{rule}" for rule in ("combine=geometric", "min_score=0.1")]
    command("filter", "--run", str(run), "--inline", *rules)
    redone = {path.parent.name for path in before if path.stat().st_mtime_ns != before[path]}
    assert redone == {"filter"}
    record = json.loads((run / "commits/rescore/part-0000000.json").read_text())
    assert record["counts"] == {"in": PART, "out": PART, "rejected": 0, "set_aside": {}}
    assert record["notes"]["texts"] > PART and record["notes"]["logits"].keys() == {"scale", "bias"}
    off = [sys.executable, "-m", "pipeline.cli", "filter", "--run", str(run), "--inline", "--set", "rescore.model=null"]
    done = subprocess.run(off, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("phrasebox: filter.combine: needs the scores of rescore")
