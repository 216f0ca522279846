"""Compares two revisions of this repository: are the data files of a run the same bytes, and is one of them slower?

    python -m benchmarks.revisions OLD [NEW] --out benchmarks/results/revisions.json     # NEW: HEAD unless given

Both revisions are checked out beside each other and make the same runs: scenes with the packaged teacher through to the
report, and, where ../shared is, the photos of coco-mini. Every file of every dataset is then compared byte for byte.
After that, phrases, label, the training loader and audit are timed, old and new in turn (old, new, old, new, ...), so
that a machine whose speed drifts slows both. A ratio is new seconds / old seconds of one turn; the median is quoted
with the interval of the middle 95% of medians of resampled turns. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import ROOT, publish

DATASETS = ("pairs", "gold", "images", "phrases", "labels", "pseudo", "shards", "summaries", "report")
CAPTIONS = 20_000
SCENES = 192
COMMAND = (sys.executable, "-c", "from pipeline.cli import main; main()")


class Revision:
    """A checkout, and the runs that it makes."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.code = folder / "code"
        self.runs = folder / "runs"
        git("worktree", "add", "--detach", "--force", str(self.code), name)
        self.commit = git("rev-parse", name).strip()

    def close(self) -> None:
        git("worktree", "remove", "--force", str(self.code))

    def python(self, *arguments: str) -> str:
        environment = {**os.environ, "PYTHONPATH": str(self.code), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.code, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(
                f"{self.name}: {' '.join(arguments)} ended with {done.returncode}\n{done.stderr[-2000:]}"
            )
        return done.stdout

    def phrasebox(self, *arguments: str) -> None:
        self.python(*COMMAND[1:], *arguments)

    def seconds(self, run: str, stage: str) -> float:
        """What the parts of a stage took, by their commit records."""
        records = [json.loads(path.read_text()) for path in (self.runs / run / "commits" / stage).glob("*.json")]
        return float(sum(record["seconds"] for record in records))


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def write_captions(path: Path) -> None:
    from stages.synthetic import scene_caption

    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["caption"])
        writer.writerows([scene_caption("web", 7, number)] for number in range(CAPTIONS))


def make_runs(revision: Revision, captions: Path) -> None:
    settings = ["--inline", "--until", "audit", "--set", "part_size=64", "--set", "train.steps=1"]
    config = revision.runs / "scenes.yaml"
    config.parent.mkdir(parents=True)
    scenes = {"source": "scenes", "count": SCENES}
    config.write_text(json.dumps({"ingest": scenes, "label": {"teacher": "glip-nano"}, "audit": {"pictures": 8}}))
    revision.phrasebox("run", str(config), "--run", str(revision.runs / "scenes"), *settings)
    shared = ROOT.parent / "shared" / "data" / "coco-mini"
    if shared.exists():
        source = {"source": str(shared / "captions.json"), "format": "coco"}
        source |= {"images": str(shared / "images"), "instances": str(shared / "instances.json")}
        config = revision.runs / "photos.yaml"
        config.write_text(json.dumps({"ingest": source, "label": {"teacher": "glip-nano"}, "audit": {"pictures": 8}}))
        revision.phrasebox("run", str(config), "--run", str(revision.runs / "photos"), *settings)
    table = ["--set", f"ingest.source={captions}", "--set", "ingest.format=table"]
    revision.phrasebox("ingest", "--inline", "--run", str(revision.runs / "captions"), *table)


def digests(run: Path) -> dict[str, str]:
    """sha256 of every data file of a run, by its path."""
    files = [path for name in DATASETS for path in (run / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def compare_bytes(old: Revision, new: Revision) -> dict[str, Any]:
    found = {}
    for run in sorted(path.name for path in old.runs.iterdir() if path.is_dir()):
        before, after = digests(old.runs / run), digests(new.runs / run)
        differ = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        found[run] = {"files": len(before), "different": differ}
    return found


def time_stage(run: str, stage: str) -> Callable[[Revision], float]:
    def measure(revision: Revision) -> float:
        revision.phrasebox(stage, "--inline", "--force", "--run", str(revision.runs / run))
        return revision.seconds(run, stage)

    return measure


def time_loader(revision: Revision) -> float:
    """Seconds of processor time for 1,000 samples, read, decoded, resized and batched."""
    run = revision.runs / "scenes"
    text = revision.python("benchmarks/train.py", "--only", "loader", "--repeats", "3", "--run", str(run))
    return 1000 / float(json.loads(text)["loader"]["batched"]["phrasebox"])


def time_audit(revision: Revision) -> float:
    """Seconds of the summaries and the merge of 200,000 pairs."""
    out = revision.runs / "audit.json"
    revision.python("benchmarks/audit.py", "--pairs", "200000", "--workers", "1", "--out", str(out))
    return float(json.loads(out.read_text())["seconds"]["total"])


WORKLOADS: dict[str, Callable[[Revision], float]] = {
    "phrases": time_stage("captions", "phrases"),
    "label": time_stage("scenes", "label"),
    "loader": time_loader,
    "audit": time_audit,
}


def compare_speed(old: Revision, new: Revision, turns: int) -> dict[str, Any]:
    found = {}
    for name, measure in WORKLOADS.items():
        for revision in (old, new):
            measure(revision)  # a warm-up that does not count
        seconds = [(measure(old), measure(new)) for _ in range(turns)]
        ratios = np.array([after / before for before, after in seconds])
        draws = np.random.default_rng(0).choice(ratios, (10_000, turns))
        found[name] = {
            "old_seconds": [round(before, 3) for before, _ in seconds],
            "new_seconds": [round(after, 3) for _, after in seconds],
            "ratio": round(statistics.median(ratios.tolist()), 4),
            "interval": [round(float(x), 4) for x in np.quantile(np.median(draws, axis=1), [0.025, 0.975])],
        }
        sys.stderr.write(f"{name}: {found[name]}\n")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new", nargs="?", default="HEAD")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=("bytes", "speed"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="phrasebox-revisions-") as folder:
        captions = Path(folder) / "captions.csv"
        write_captions(captions)
        revisions = [Revision(name, Path(folder) / str(i)) for i, name in enumerate((options.old, options.new))]
        try:
            for revision in revisions:
                make_runs(revision, captions)
            old, new = revisions
            result: dict[str, Any] = {"old": old.commit, "new": new.commit}
            if options.only != "speed":
                result["bytes"] = compare_bytes(old, new)
            if options.only != "bytes":
                result["speed"] = compare_speed(old, new, options.turns)
        finally:
            for revision in revisions:
                revision.close()
    result |= {
        "command": " ".join(["python -m benchmarks.revisions", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "device": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
