"""Peak memory of the driver and of the workers, on little and on much data: it must not grow with the corpus.

    python -m benchmarks.memory phrases     # 20,000 to 1,000,000 captions through `phrases`
    python -m benchmarks.memory images      # 1,000 to 20,000 scenes through `label` and `shard`
    python -m benchmarks.memory phrases --sizes 2000,6000 --out /tmp/memory.json               # a quick look

Each mode writes its own section of benchmarks/results/memory.json and leaves the other. Two workers on a local Ray.
Peak: VmHWM in /proc, the kernel's own high-water mark of a process's resident memory, of every worker separately; the
largest one is given, and the driver's. A worker that has made one part has not met its peak yet (allocators keep what
was freed), hence the size in between; `growth` is from the first size to the last. Images are labelled by glip-nano
at a small size (64 to 96 pixels), so that 20,000 take minutes on two cores: what could grow with the corpus does not
depend on the size of an image.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, processor_name

SIZES = {"phrases": (20_000, 100_000, 1_000_000), "images": (1_000, 5_000, 20_000)}
PART = {"phrases": 10_000, "images": 500}
WORKERS = 2
WORDS = ["red", "green", "small", "old", "wooden", "dog", "cat", "umbrella", "table", "boat", "on", "under", "beside",
         "a", "the", "two", "people", "street"]  # fmt: skip


def captions(count: int) -> Iterator[str]:
    """Ever new ones: what a cache of words or phrases would keep grows with them."""
    for number in range(count):
        chosen = [WORDS[(number * 7 + place * (number % 5 + 1)) % len(WORDS)] for place in range(9)]
        yield f"a photo of {' '.join(chosen)} and the item{number} near it"


def phrases(count: int, folder: Path) -> dict[str, Any]:
    with open(folder / "captions.tsv", "w", encoding="utf-8") as file:
        file.write("id\tcaption\n")
        file.writelines(f"{number}\t{caption}\n" for number, caption in enumerate(captions(count)))
    source = {"source": str(folder / "captions.tsv"), "id": "id", "caption": "caption"}
    write_config(folder, {"part_size": PART["phrases"], "ingest": source})
    phrasebox(folder, "ingest", "--inline")
    return {"phrases": watched(folder, "phrases")}


def images(count: int, folder: Path) -> dict[str, Any]:
    small = {"short": 64, "long": 96, "device": "cpu"}
    scenes = {"source": "scenes", "count": count}
    write_config(folder, {"part_size": PART["images"], "ingest": scenes, "label": small, "filter": {"min_score": 0.2}})
    phrasebox(folder, "ingest", "--workers", str(WORKERS))
    phrasebox(folder, "phrases", "--inline")
    labelled = watched(folder, "label")
    phrasebox(folder, "filter", "--inline")
    return {"label": labelled, "shard": watched(folder, "shard")}


def write_config(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "config.yaml").write_text(json.dumps({"run": str(folder / "run"), **settings}))  # JSON is YAML


def command(folder: Path, stage: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", stage, "--config", str(folder / "config.yaml"), *options]


def phrasebox(folder: Path, stage: str, *options: str) -> None:
    done = subprocess.run(command(folder, stage, *options), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)


def watched(folder: Path, stage: str) -> dict[str, Any]:
    """Runs a stage on two workers; peak MiB of the driver and of the largest worker."""
    start = time.monotonic()
    with open(folder / "stderr", "w+") as errors:
        arguments = command(folder, stage, "--workers", str(WORKERS))
        driver = subprocess.Popen(arguments, cwd=ROOT, stderr=errors, stdout=subprocess.DEVNULL)
        peaks: dict[int, float] = {}
        try:
            while driver.poll() is None:
                for pid in [driver.pid, *workers_of(driver.pid)]:
                    peaks[pid] = peak_mib(pid) or peaks.get(pid, 0.0)
                time.sleep(0.2)
        finally:
            driver.terminate()  # nothing, where it has ended
            driver.wait()
        errors.seek(0)
        if driver.returncode:
            sys.exit(errors.read())
    workers = [peak for pid, peak in peaks.items() if pid != driver.pid]
    return {
        "driver_mib": peaks[driver.pid],
        "worker_mib": max(workers),
        "workers_seen": len(workers),
        "seconds": round(time.monotonic() - start, 1),
    }


def workers_of(driver: int) -> list[int]:
    """Ray's worker processes below a driver."""
    parents, found = {}, []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if (entry / "cmdline").read_bytes().startswith(b"ray::Host"):
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended since the listing
    return [pid for pid in found if driver in ancestors(pid, parents)]


def ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


def peak_mib(pid: int) -> float:
    """0 for a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM")), 0.0)


def growth(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    """Peak on much data over peak on little, of driver and worker."""
    return {name: round(large[name] / small[name], 3) for name in ("driver_mib", "worker_mib")}


def machine() -> dict[str, Any]:
    packages = ("numpy", "pyarrow", "ray", "torch")
    return {
        "device": f"{os.cpu_count()} cores of {processor_name()}",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "date": date.today().isoformat(),
    }


def record(out: Path, section: str, figures: dict[str, Any]) -> None:
    """Writes one section of a results file, with the machine and the command beside it."""
    known = json.loads(out.read_text()) if out.exists() else {}
    arguments = " ".join(sys.argv[1 : sys.argv.index("--out") if "--out" in sys.argv else None])
    known[section] = {
        **figures,
        "command": f"python -m benchmarks.{Path(sys.argv[0]).stem} {arguments}".strip(),
        **machine(),
    }
    out.write_text(json.dumps(known, indent=1) + "\n")
    sys.stdout.write(json.dumps(known[section], indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=SIZES)
    parser.add_argument("--sizes", help="counts [20000,100000,1000000 captions; 1000,5000,20000 images]")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "memory.json")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")] if options.sizes else SIZES[options.mode]
    found = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            found[str(size)] = {"phrases": phrases, "images": images}[options.mode](size, Path(folder))
    small, large = found[str(sizes[0])], found[str(sizes[-1])]
    figures = {"part_size": PART[options.mode], "workers": WORKERS, "peak": found}
    record(options.out, options.mode, {**figures, "growth": {name: growth(small[name], large[name]) for name in small}})


if __name__ == "__main__":
    main()
