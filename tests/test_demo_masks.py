"""The demo with masks, as a person runs it: a tiny SAM 2 with random weights, without a network; killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco_masks

from tests.digests import digests
from tests.model import tiny_sam
from tests.waiting import wait_for

ROOT = Path(__file__).resolve().parents[1]
PAIRS, PART = 24, 8
SETTINGS = {"ingest.count": PAIRS, "part_size": PART, "shard.samples_per_shard": 5, "filter.min_score": 0.3}
DATA = ("pairs", "pseudo", "masks", "shards")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sam.save("sam2", tmp_path_factory.mktemp("checkpoint"))


def command(run: Path, checkpoint: Path, *more: str) -> list[str]:
    settings = {**SETTINGS, "mask.model": checkpoint, "mask.batch_size": 2}
    chosen = [f"--set={key}={value}" for key, value in settings.items()]
    return [sys.executable, "-m", "pipeline.cli", "run", "configs/demo_masks.yaml", "--run", str(run), *chosen, *more]


def phrasebox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return finished([sys.executable, "-m", "pipeline.cli", *arguments])


def finished(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(arguments, cwd=ROOT, env=env, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def fingers(run: Path) -> dict[str, str]:
    """sha256 of every data file."""
    return digests(run, DATA)


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    run = tmp_path_factory.mktemp("inline") / "run"
    done = finished(command(run, checkpoint, "--inline", "--until", "audit"))
    assert done.returncode == 0, done.stdout + done.stderr
    return run


@pytest.mark.slow
def test_one_and_two_workers_and_a_kill_change_no_byte(inline: Path, checkpoint: Path, tmp_path: Path) -> None:
    wanted = fingers(inline)
    assert {name.split("/")[0] for name in wanted} == set(DATA)
    one, two = tmp_path / "one", tmp_path / "two"
    assert finished(command(one, checkpoint, "--workers", "1", "--until", "shard")).returncode == 0
    assert fingers(one) == wanted
    arguments = command(two, checkpoint, "--workers", "2", "--until", "shard")
    quiet = subprocess.DEVNULL
    driver = subprocess.Popen(arguments, cwd=ROOT, stdout=quiet, stderr=quiet, start_new_session=True)
    wait_for(lambda: list((two / "commits/mask").glob("part-*.json")), driver)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert finished(arguments).returncode == 0
    assert fingers(two) == wanted
    assert phrasebox("verify", str(two)).returncode == 0


@pytest.mark.slow
def test_every_box_has_a_mask_in_the_frame_of_its_image(inline: Path) -> None:
    pseudo = [row for path in sorted((inline / "pseudo").iterdir()) for row in pq.read_table(path).to_pylist()]
    masks = [row for path in sorted((inline / "masks").iterdir()) for row in pq.read_table(path).to_pylist()]
    assert [row["key"] for row in masks] == [row["key"] for row in pseudo] and len(masks) == PAIRS
    assert sum(len(row["masks"]) for row in masks) > 10
    for row, boxes in zip(masks, pseudo, strict=True):
        assert len(row["masks"]) == len(boxes["boxes"])
        assert {(mask["height"], mask["width"]) for mask in row["masks"]} <= {(boxes["height"], boxes["width"])}
    record = json.loads((inline / "commits/mask/part-0000000.json").read_text())
    assert record["counts"]["in"] == record["counts"]["out"] == PART and record["notes"]["masks"] > 0


@pytest.mark.slow
def test_shards_and_exports_have_the_masks_of_the_table(inline: Path, tmp_path: Path) -> None:
    masks = {
        row["key"]: row["masks"] for path in (inline / "masks").iterdir() for row in pq.read_table(path).to_pylist()
    }
    boxes = 0
    for path in sorted((inline / "shards").glob("*.tar")):
        with tarfile.open(path) as tar:
            records = [json.load(tar.extractfile(member)) for member in tar if member.name.endswith(".json")]  # type: ignore[arg-type]
        for record in records:
            for box, mask in zip(record["boxes"], masks[record["key"]], strict=True):
                counts = box["segmentation"]["counts"].encode("ascii")
                assert (counts, box["segmentation"]["size"]) == (mask["counts"], [mask["height"], mask["width"]])
                boxes += 1
    assert boxes == sum(map(len, masks.values()))
    done = phrasebox("export", str(inline), "--format", "coco", "--out", str(tmp_path / "coco"), "--no-images")
    assert done.returncode == 0
    annotations = json.loads((tmp_path / "coco/instances.json").read_text())["annotations"]
    assert [coco_masks.area(annotation["segmentation"]) for annotation in annotations] == [
        annotation["area"] for annotation in annotations
    ]
    assert len(annotations) == boxes


@pytest.mark.slow
def test_an_area_that_is_not_as_noted_is_found_by_verify(inline: Path, tmp_path: Path) -> None:
    """Size and sha256 of the file are as recorded, but not the area that the record notes."""
    run = tmp_path / "run"
    assert finished(["cp", "-r", str(inline), str(run)]).returncode == 0
    record = run / "commits/mask/part-0000001.json"
    written = json.loads(record.read_text())
    written["notes"]["mask_pixels"] += 1
    record.write_text(json.dumps(written))
    done = phrasebox("verify", str(run))
    assert done.returncode == 1 and "mask_pixels" in done.stdout + done.stderr
