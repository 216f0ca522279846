"""Real photos through the engine, stage by stage: rate, memory, and where every pair went.

    python -m benchmarks.photos ../shared/data/flickr8k-wds --out benchmarks/results/photos.json

Runs `phrasebox` itself (ingest, phrases, label, filter, shard, audit, verify), one command per stage, and measures each
from outside: seconds from start to exit (Ray's start included) and the highest memory of the driver and all its
children together, by proportional set size, sampled twice a second. The accounting is counted from the files of the
run by pyarrow and tarfile, not taken from what the commands say, and compared with the rows of the source's sidecars.
The alternative beside it: the teacher called image by image in one plain loop, as the official demo does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.record import ROOT, processor_name, publish

STAGES = ("ingest", "phrases", "label", "filter", "shard", "audit")


def family(root: int) -> list[int]:
    """The process and all that descend from it."""
    parent: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
    members = [root]
    for member in members:
        members += [process for process, its in parent.items() if its == member]
    return members


def memory(root: int) -> int:
    """Bytes, shared pages divided among those who share them."""
    total = 0
    for process in family(root):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def timed(*arguments: str) -> dict[str, Any]:
    """Runs one phrasebox command. Raises CalledProcessError when it fails."""
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "pipeline.cli", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, memory(process.pid))
        time.sleep(0.5)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return {"seconds": round(time.perf_counter() - began, 1), "peak_bytes": peak}


def rows(folder: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in sorted(folder.glob("*.parquet")))


def accounting(run: Path, source: Path) -> dict[str, Any]:
    """Where the rows of the source went, counted from the files."""
    rejected: dict[str, Counter[str]] = {}
    for file in sorted((run / "rejects").rglob("*.parquet")):
        reasons = pq.read_table(file, columns=["reason"])["reason"].to_pylist()
        rejected.setdefault(file.parent.name, Counter()).update(reasons)
    samples = 0
    for shard in sorted((run / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            samples += sum(name.endswith(".jpg") for name in tar.getnames())
    counted = {
        "sidecar_rows": rows(source),
        **{name: rows(run / name) for name in ("pairs", "phrases", "labels", "pseudo")},
        "samples_in_shards": samples,
        "rejected": {stage: dict(reasons.most_common()) for stage, reasons in rejected.items()},
    }
    counted["all_accounted_for"] = counted["sidecar_rows"] == counted["pairs"] + sum(
        rejected.get("ingest", Counter()).values()
    )
    return counted


def one_by_one(source: Path, count: int) -> dict[str, float]:
    """The same teacher without the engine: one image and its caption at a time, in one thread."""
    import io

    import numpy as np
    from PIL import Image

    from model.scheduler import Scheduler
    from model.teachers import open_teacher
    from schemas.config import LabelConfig
    from stages.phrases import NounPhraseExtractor

    teacher = Scheduler(open_teacher(LabelConfig(teacher="glip-nano", device="cpu", threads=1)))
    extractor = NounPhraseExtractor("auto")
    images_made: dict[str, bytes] = {}
    with tarfile.open(sorted(source.glob("*.tar"))[0]) as tar:
        for member in tar:
            if len(images_made) < 2 * count:
                stream = tar.extractfile(member)
                images_made[member.name] = stream.read() if stream else b""
    names = [name for name in images_made if name.endswith(".jpg")][:count]
    began = time.perf_counter()
    for name in names:
        caption = images_made[name[:-4] + ".txt"].decode()
        phrases = extractor.extract([caption])[0]
        image = np.asarray(Image.open(io.BytesIO(images_made[name])).convert("RGB"))
        teacher.ground([image], [caption], [[[(phrase.start, phrase.end)] for phrase in phrases]], 0.1)
    return {"photos": len(names), "photos_per_second": round(len(names) / (time.perf_counter() - began), 2)}


def figures(run: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is recorded; `run` is a folder that is not there yet."""
    settings = [f"--set=ingest.source={options.source.resolve()}", f"--set=part_size={options.part_size}"]
    measured = {}
    for stage in STAGES:
        more = settings if stage == "ingest" else []
        measured[stage] = timed(stage, str(run), f"--workers={options.workers}", *more)
        sys.stderr.write(f"{stage}: {measured[stage]}\n")
    measured["verify"] = timed("verify", str(run))
    counted = accounting(run, options.source)
    labels = measured["label"]["seconds"]
    stats = json.loads((run / "report/stats.json").read_text())
    alone = one_by_one(options.source, 100)
    return {
        "what": "real photos with their captions, from img2dataset shards to packed shards and report, glip-nano",
        "command": f"python -m benchmarks.photos {options.source} --workers {options.workers}"
        f" --part-size {options.part_size}",
        "date": date.today().isoformat(),
        "device": f"{processor_name()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), **versions("torch", "ray", "pyarrow", "webdataset")},
        "workers": options.workers,
        "stages": measured,
        "seconds": round(sum(stage["seconds"] for stage in measured.values()), 1),
        "labels_per_second": round(counted["labels"] / labels, 2),
        "one_by_one": alone,
        "ratio_per_worker": round(counted["labels"] / labels / options.workers / alone["photos_per_second"], 2),
        "peak_bytes": max(stage["peak_bytes"] for stage in measured.values()),
        "accounting": counted,
        "stats": {name: stats[name] for name in ("pairs", "pairs_with_phrases", "pairs_with_boxes", "boxes")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--part-size", type=int, default=500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photos-") as folder:
        publish(figures(Path(folder) / "run", options), options.out)


def versions(*names: str) -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in names}


if __name__ == "__main__":
    main()
