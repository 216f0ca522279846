"""The main job with the real stages, as a person runs it: scenes from pairs to evaluation, on Ray and inline."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webdataset

from schemas.records import schema_of
from stages.synthetic import draw_scene
from tests.digests import digests

ROOT = Path(__file__).resolve().parents[1]
PAIRS, PART = 24, 8
SMALL = {
    "ingest.count": PAIRS,
    "part_size": PART,
    "shard.samples_per_shard": 5,
    "audit.pictures": 6,
    "train.steps": 2,
    "train.batch_size": 4,
    "train.threads": 1,
    "evaluate.count": 3,
}
DATA = ("pairs", "gold", "images", "phrases", "labels", "pseudo", "shards")


def phrasebox(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def demo(run: Path, *more: str, **changes: object) -> subprocess.CompletedProcess[str]:
    settings = [f"--set={key}={value}" for key, value in {**SMALL, **changes}.items()]
    done = phrasebox("run", "configs/demo.yaml", "--run", str(run), *settings, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def fingers(run: Path) -> dict[str, str]:
    """sha256 of every data file."""
    return digests(run, DATA)


def commits(run: Path) -> dict[str, float]:
    return {path.relative_to(run).as_posix(): path.stat().st_mtime for path in (run / "commits").rglob("part-*.json")}


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole job in one process."""
    run = tmp_path_factory.mktemp("inline") / "run"
    demo(run, "--inline")
    return run


def rows(run: Path, dataset: str) -> list[dict]:
    paths = sorted((run / dataset).glob("part-*.parquet"))
    return [row for path in paths for row in pq.read_table(path, schema=schema_of(dataset)).to_pylist()]


@pytest.mark.slow
def test_workers_and_executor_change_no_byte(inline: Path, tmp_path: Path) -> None:
    wanted = fingers(inline)
    assert {name.split("/")[0] for name in wanted} == set(DATA)
    for workers in (1, 2):
        demo(tmp_path / str(workers), "--workers", str(workers), "--until", "shard")
        assert fingers(tmp_path / str(workers)) == wanted


@pytest.mark.slow
def test_again_does_nothing_and_one_setting_redoes_what_lies_downstream(inline: Path) -> None:
    before = commits(inline)
    again = demo(inline, "--inline")
    assert commits(inline) == before and "nothing" in (again.stdout + again.stderr).lower()
    demo(inline, "--inline", "--until", "audit", **{"filter.min_score": 0.6})
    after = commits(inline)
    redone = {name.split("/")[1] for name in after if after[name] != before.get(name)}
    assert {"filter", "shard"} <= redone <= {"filter", "shard", "audit"}
    demo(inline, "--inline")
    assert phrasebox("verify", str(inline)).returncode == 0


@pytest.mark.slow
def test_every_record_holds_what_it_promises(inline: Path) -> None:
    pairs, phrases, labels, pseudo = (rows(inline, name) for name in ("pairs", "phrases", "labels", "pseudo"))
    assert len(pairs) == len(phrases) == len(labels) == len(pseudo) == PAIRS
    captions = {row["key"]: row["caption"] for row in pairs}
    for row in phrases:
        assert row["caption"] == captions[row["key"]]
        assert all(row["caption"][p["start"] : p["end"]] == p["text"] for p in row["phrases"])
    counts = {row["key"]: len(row["phrases"]) for row in phrases}
    for row in labels:
        assert all(0 <= box["phrase"] < counts[row["key"]] and box["score"] >= 0.1 for box in row["boxes"])
    label_boxes = {row["key"]: row["boxes"] for row in labels}
    for row in pseudo:
        for box in row["boxes"]:
            assert box["score"] > 0.5 and box in label_boxes[row["key"]]
            assert 0 <= box["x1"] < box["x2"] <= row["width"] and 0 <= box["y1"] < box["y2"] <= row["height"]
        assert len(row["boxes"]) + len(row["dropped"]) == len(label_boxes[row["key"]])


@pytest.mark.slow
def test_shards_load_with_webdataset_and_with_a_plain_tar_reader(inline: Path) -> None:
    paths = sorted((inline / "shards").glob("*.tar"))
    index = json.loads((inline / "shards" / "index.json").read_text())
    plain: dict[str, bytes] = {}
    for path in paths:
        with tarfile.open(path) as tar:
            plain |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    samples = list(webdataset.WebDataset([str(path) for path in paths], shardshuffle=False))
    assert len(samples) == sum(shard["samples"] for shard in index["shards"]) == len(plain) // 2
    pseudo = {row["key"]: row for row in rows(inline, "pseudo")}
    for sample in samples:
        record = json.loads(sample["json"])
        assert sample["__key__"] == f"demo-{record['key']}" and plain[f"{sample['__key__']}.jpg"] == sample["jpg"]
        part, row = int(record["key"][:7]), int(record["key"][7:])
        assert sample["jpg"] == draw_scene("web", 0, part * PART + row).jpeg  # byte for byte the source's
        boxes = [[box[name] for name in ("x1", "y1", "x2", "y2")] for box in pseudo[record["key"]]["boxes"]]
        assert [box["bbox"] for box in record["boxes"]] == boxes != []


@pytest.mark.slow
def test_the_results_are_there_and_say_what_they_are(inline: Path) -> None:
    stats = json.loads((inline / "report" / "stats.json").read_text())
    assert stats["pairs"] == PAIRS and "<html" in (inline / "report" / "index.html").read_text()
    for role in ("teacher", "student"):
        result = json.loads((inline / "evaluation" / f"scenes-{role}.json").read_text())
        assert result["pictures"] == 3 and "IoU" in result["protocol"]
    metrics = (inline / "student" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(metrics[-1])["step"] == 2
    assert (inline / "student" / "weights.safetensors").stat().st_size < 15 * 2**20


@pytest.fixture
def shared() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real inputs beside the repository, in ../shared/data")
    return folder


@pytest.mark.slow
def test_coco_photos_go_through(shared: Path, tmp_path: Path) -> None:
    """80 photos with 400 captions: boxes of glip-nano on photos mean little, but the plumbing must hold."""
    source = shared / "coco-mini"
    settings = {
        "ingest.source": source / "captions.json",
        "ingest.images": source / "images",
        "ingest.format": "coco",
        "filter.min_score": 0.3,
    }
    done = phrasebox(
        "run", "configs/demo.yaml", "--run", str(tmp_path / "run"), "--until", "audit", "--set=ingest.count=100",
        "--set=part_size=50", *[f"--set={key}={value}" for key, value in settings.items()],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    labels = rows(tmp_path / "run", "labels")
    assert len(labels) == 100 and sum(len(row["boxes"]) for row in labels) > 0
    assert phrasebox("verify", str(tmp_path / "run")).returncode == 0


@pytest.mark.slow
def test_web_captions_without_images_go_through(shared: Path, tmp_path: Path) -> None:
    source = shared / "captions" / "conceptual_captions_val.tsv"
    done = phrasebox(
        "run", "configs/demo.yaml", "--run", str(tmp_path / "run"), "--inline", "--set=ingest.format=table",
        f"--set=ingest.source={source}", "--set=ingest.count=3000", "--set=part_size=1500", "--until", "phrases",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert phrasebox("audit", "--config", "configs/demo.yaml", "--run", str(tmp_path / "run"), "--inline",
                     "--set=ingest.format=table", f"--set=ingest.source={source}", "--set=ingest.count=3000",
                     "--set=part_size=1500").returncode == 0  # fmt: skip
    stats = json.loads((tmp_path / "run" / "report" / "stats.json").read_text())
    assert stats["pairs"] == 3000 and stats["pairs_with_phrases"] > 2800


@pytest.mark.slow
def test_img2dataset_shards_go_through_with_failed_downloads_as_rejects(shared: Path, tmp_path: Path) -> None:
    """One of the eight shards; rows of the sidecar whose download failed are rejected with their reason."""
    source = tmp_path / "source"
    source.mkdir()
    for suffix in ("tar", "parquet"):
        (source / f"00003.{suffix}").symlink_to(shared / "flickr8k-wds" / f"00003.{suffix}")
    sidecar = pq.read_table(source / "00003.parquet").to_pylist()
    failed = sum(row["status"] != "success" for row in sidecar)
    run = tmp_path / "run"
    done = phrasebox(
        "run", "configs/demo.yaml", "--run", str(run), "--until", "shard", "--set=ingest.format=webdataset",
        f"--set=ingest.source={source}", "--set=ingest.count=null", "--set=part_size=700", "--set=filter.min_score=0.3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(rows(run, "pairs")) == len(sidecar) - failed
    assert [row["reason"] for row in rows_of_rejects(run, "ingest")] == ["download_failed"] * failed
    with tarfile.open(source / "00003.tar") as tar:
        originals = {hashlib.sha256(tar.extractfile(m).read()).hexdigest() for m in tar if m.name.endswith(".jpg")}  # type: ignore[union-attr]
    for path in (run / "shards").glob("*.tar"):
        for sample in webdataset.WebDataset(str(path), shardshuffle=False):
            assert hashlib.sha256(sample["jpg"]).hexdigest() in originals
    assert phrasebox("verify", str(run)).returncode == 0


def rows_of_rejects(run: Path, stage: str) -> list[dict]:
    paths = sorted((run / "rejects" / stage).glob("part-*.parquet"))
    return [row for path in paths for row in pq.read_table(io.BytesIO(path.read_bytes())).to_pylist()]
