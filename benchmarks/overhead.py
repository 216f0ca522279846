"""What the engine costs: two workers beside two plain processes over the same parts, and a plan of 100,000 parts.

    python -m benchmarks.overhead phrases   # captions per second
    python -m benchmarks.overhead label     # images per second, glip-nano on scenes
    python -m benchmarks.overhead plan      # dry run and status of a corpus of 1,000,000,000 pairs
    python -m benchmarks.overhead phrases --parts 6 --part-size 500 --out /tmp/overhead.json   # a quick look

Each mode writes its own section of benchmarks/results/overhead.json and leaves the others.

A plain process is one thread that runs the stage's own code over every other part: it reads the part's Parquet, writes
the result's, and does nothing else; no hashes, no records, no fsync, no Ray. Both sides are timed the same way, by when
the files of each part appear: from the moment two parts are there (so that neither Ray's start nor the loading of a
model counts on either side) to the last one.
"""

# ruff: noqa: E402  (threads are set before numpy is imported)

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.memory import captions, peak_mib, phrasebox, record, write_config
from benchmarks.record import ROOT

PARTS = {"phrases": (60, 5_000), "label": (40, 100)}  # parts, pairs of a part
OUTPUT = {"phrases": "phrases", "label": "labels"}
PLAN_PARTS = 100_000


class PlainIO:
    """The least that a map stage needs: files of the run to read, a folder to write to."""

    slice = None

    def __init__(self, run: Path, out: Path, part: int) -> None:
        self.run, self.out, self.part = run, out, part

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> Any:
        import pyarrow.parquet as pq

        return pq.read_table(self.run / dataset / f"part-{self.part:07d}.parquet", columns=columns, use_threads=False)

    def write(self, dataset: str, table: Any) -> None:
        import pyarrow.parquet as pq

        path = self.out / dataset / f"part-{self.part:07d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, compression="zstd")

    def image_bytes(self, refs: Sequence[Any]) -> Iterator[Any]:
        from pipeline.storage.images import image_bytes

        return image_bytes(lambda uri: open(self.run / uri, "rb"), refs)

    def progress(self, pairs: int) -> None:
        pass


def plain_process(stage: str, run: Path, out: Path, parts: Sequence[int]) -> None:
    from pipeline.run.config import load_config
    from stages import load_stage

    made: Any = load_stage(stage)(load_config(None, (), str(run)))
    for part in parts:
        made.run_part(PlainIO(run, out, part))


def plain(stage: str, run: Path, out: Path, parts: int) -> None:
    """Two processes side by side."""
    context = get_context("spawn")
    both = [context.Process(target=plain_process, args=(stage, run, out, range(n, parts, 2))) for n in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        if process.exitcode:
            sys.exit(f"a plain process ended with {process.exitcode}")


def rate(folder: Path, part_size: int) -> float:
    """Pairs per second, from the second part on."""
    ends = sorted(path.stat().st_mtime_ns for path in folder.glob("part-*"))
    return round((len(ends) - 2) * part_size / ((ends[-1] - ends[1]) / 1e9), 1)


def compare(stage: str, parts: int, part_size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, count = folder / "run", parts * part_size
        settings: dict[str, Any] = {"part_size": part_size, "ingest": {"source": "scenes", "count": count}}
        if stage == "phrases":
            (folder / "captions.tsv").write_text("caption\n" + "".join(f"{text}\n" for text in captions(count)))
            settings["ingest"] = {"source": str(folder / "captions.tsv"), "caption": "caption"}
        write_config(folder, {**settings, "label": {"device": "cpu", "threads": 1}})
        phrasebox(folder, "ingest", "--workers", "2")
        if stage == "label":
            phrasebox(folder, "phrases", "--inline")
        plain(stage, run, folder / "plain", parts)
        phrasebox(folder, stage, "--workers", "2")
        rates = {
            "two_plain_processes": rate(folder / "plain" / OUTPUT[stage], part_size),
            "two_workers": rate(run / "commits" / stage, part_size),
        }
    share = round(rates["two_workers"] / rates["two_plain_processes"], 3)
    return {"parts": parts, "part_size": part_size, "pairs_per_second": rates, "share_of_plain": share}


def plan(parts: int) -> dict[str, Any]:
    """The driver on a plan of so many parts of 10,000 pairs: a dry run, and status with all of four stages recorded."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_config(folder, {"ingest": {"source": "scenes", "count": parts * 10_000}})
        config = str(folder / "config.yaml")
        found: dict[str, Any] = {"parts": parts, "dry_run_of_a_new_run": timed("run", config, "--dry-run")}
        write_records(folder / "run", parts)
        found["first_status"] = timed("status", str(folder / "run"))
        write_indexes(folder / "run")
        found["status"] = timed("status", str(folder / "run"))
        return found


def timed(*arguments: str) -> dict[str, float]:
    """Seconds and peak MiB of one command."""
    start, peak = time.monotonic(), 0.0
    done = subprocess.Popen([sys.executable, "-m", "pipeline.cli", *arguments], stdout=subprocess.DEVNULL)
    while done.poll() is None:
        peak = max(peak, peak_mib(done.pid))
        time.sleep(0.02)
    if done.returncode:
        sys.exit(f"phrasebox {' '.join(arguments)} ended with {done.returncode}")
    return {"seconds": round(time.monotonic() - start, 1), "peak_mib": peak}


def write_records(run: Path, parts: int) -> None:
    """A run as it stands after four stages: its plan and its records, without the data."""
    from pipeline.run.config import load_config, resolve, write_config
    from pipeline.run.plan import extend, write_plan
    from pipeline.storage.files import SourceFiles
    from pipeline.storage.open import open_storage
    from schemas.commit import CommitRecord, Counts, FileEntry
    from stages import load_stage

    ingest: Any = load_stage("ingest")
    config = resolve(load_config(str(run.parent / "config.yaml")), [ingest], [ingest])
    storage = open_storage(str(run))
    write_config(storage, config)
    write_plan(storage, extend({}, ingest(config).plan(SourceFiles(storage), config.part_size)))
    outputs = {"ingest": "pairs", "phrases": "phrases", "label": "labels", "filter": "pseudo"}
    for stage, dataset in outputs.items():
        (run / "commits" / stage).mkdir(parents=True)
        for part in range(parts):
            names = (f"{dataset}/part-{part:07d}.parquet", f"rejects/{stage}/part-{part:07d}.parquet")
            files = tuple(FileEntry(name, 123_456, f"{part:064x}") for name in names)
            notes = {"inputs": {"pairs": f"{part:064x}"}}
            made = CommitRecord(stage, part, f"{part:064x}", Counts(10_000, 9_990, 10), files, 12.3, {}, notes)
            (run / "commits" / stage / f"part-{part:07d}.json").write_text(made.to_json())


def write_indexes(run: Path) -> None:
    """As a run does for itself every 5,000 commits and at the end of a stage."""
    from pipeline.run.record_index import write_index
    from pipeline.storage.open import open_storage

    for stage in sorted(path.name for path in (run / "commits").iterdir()):
        write_index(open_storage(str(run)), stage)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=[*PARTS, "plan"])
    parser.add_argument("--parts", type=int, help="[60 of phrases, 40 of label, 100,000 of plan]")
    parser.add_argument("--part-size", type=int, help="pairs [5,000 of phrases, 100 of label]")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "overhead.json")
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.mode == "plan":
        record(options.out, "plan", plan(options.parts or PLAN_PARTS))
        return
    parts, part_size = PARTS[options.mode]
    record(options.out, options.mode, compare(options.mode, options.parts or parts, options.part_size or part_size))


if __name__ == "__main__":
    main()
