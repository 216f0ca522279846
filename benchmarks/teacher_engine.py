"""GLIP-T in the real engine: a checkpoint file, photos from disk, `phrasebox run` on a local Ray, from ingest to audit.

    python -m benchmarks.teacher_engine [--count 6] [--out benchmarks/results/teacher_engine.json]

The checkpoint is written by the fill rule of ../shared/parity, as official training saves it: a .pth with the weights
under `model`, every name behind `module.`. The photos and captions are those of ../shared/data/coco-mini, one caption
each, at the variant's own 800 x up to 1333 pixels. Boxes of made-up weights mean nothing; rate and memory do not depend
on what they are worth. Both are read from the commit records of the run: seconds of each part of `label`, the largest
resident set of the process that labelled it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch

from benchmarks.official_weights import SHARED, official_state
from benchmarks.record import ROOT, processor_name, publish

PHOTOS = SHARED / "data" / "coco-mini"


def write_checkpoint(path: Path) -> None:
    """GLIP-T's as official training saves it."""
    weights = {f"module.{name}": value for name, value in official_state("glip_t_c").items()}
    torch.save({"model": weights, "iteration": 0}, path)


def write_captions(path: Path, count: int) -> None:
    """COCO captions of the first `count` photos, one each."""
    coco = json.loads((PHOTOS / "captions.json").read_text())
    first = {caption["image_id"]: caption for caption in reversed(coco["annotations"])}
    images = [image for image in coco["images"] if image["id"] in first][:count]
    annotations = [first[image["id"]] for image in images]
    path.write_text(json.dumps({**coco, "images": images, "annotations": annotations}))


def phrasebox(*arguments: str) -> None:
    """Runs the command; raises RuntimeError with the end of its stderr where it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"phrasebox {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr[-2000:]}")


def run(folder: Path, count: int, part_size: int = 2, workers: int = 1) -> Path:
    """Labels `count` photos and audits and verifies the result; returns the run folder."""
    write_checkpoint(folder / "glip_t.pth")
    write_captions(folder / "captions.json", count)
    settings = {
        "part_size": part_size,
        "ingest.source": folder / "captions.json",
        "ingest.images": PHOTOS / "images",
        "ingest.format": "coco",
        "ingest.count": "null",
        "label.teacher": "glip-t",
        "label.weights": folder / "glip_t.pth",
        "label.batch_size": 2,
    }
    made = folder / "run"
    chosen = [f"--set={key}={value}" for key, value in settings.items()]
    phrasebox("run", "configs/demo.yaml", "--run", str(made), "--until", "audit", "--workers", str(workers), *chosen)
    phrasebox("verify", str(made))
    return made


def commits(made: Path) -> Iterator[dict[str, Any]]:
    """The commit records of `label`."""
    for path in sorted((made / "commits" / "label").glob("part-*.json")):
        yield json.loads(path.read_text())


def labels(made: Path) -> list[dict[str, Any]]:
    """The rows of all parts."""
    return [row for path in sorted((made / "labels").glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def figures(made: Path) -> dict[str, Any]:
    """What the run took, and what came of it."""
    records = list(commits(made))
    rows = labels(made)
    later = records[1:] or records  # the first part of a worker loads the weights
    return {
        "pictures": len(rows),
        "boxes": sum(len(row["boxes"]) for row in rows),
        "label_seconds": round(sum(record["seconds"] for record in records), 1),
        "pictures_per_second_and_worker": round(
            sum(record["counts"]["in"] for record in later) / sum(record["seconds"] for record in later), 4
        ),
        "first_part_seconds": records[0]["seconds"],
        "worker_peak_memory_mib": max(record["notes"]["peak_memory_mib"] for record in records),
    }


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=6, help="photos")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="teacher_engine") as folder:
        found = figures(run(Path(folder), options.count, workers=options.workers))
    result = {
        "what": "phrasebox run --until audit with a glip-t checkpoint on photos, through a local Ray; then verify",
        "command": f"python -m benchmarks.teacher_engine --count {options.count} --workers {options.workers}",
        "size": "800 x up to 1333, fp32, batches of up to 2",
        **found,
        "device": f"{processor_name()}, {options.workers} worker(s) of one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
