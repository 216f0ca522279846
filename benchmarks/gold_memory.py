"""Memory that annotation files of gold take in a rank of a training, a box: at most 64 bytes.

    python -m benchmarks.gold_memory                          # 300,000 and 1,200,000 boxes, as COCO and MDETR's JSON
    python -m benchmarks.gold_memory --sizes 30000,60000 --out /tmp/gold_memory.json            # a quick look

A file has 5.5 boxes an image, as Objects365 has, names as long as there, and (MDETR) captions of 60 characters. Two
processes open it one after the other, as ranks do: the first one builds the columns, the other one finds them; both
then go through the boxes, labels, names and captions of all samples, so that every page of the columns is in memory.
`private` and `shared` are what the resident set has grown by since before the opening, memory of the process's own
and pages of mapped files (RssAnon and RssFile in /proc), in bytes a box; pages of the columns are the same ones in all
ranks of a machine. `more` is the growth of their sum from the smaller to the larger file over the growth in boxes: it
is free of what any process takes once. `peak` is the highest resident set (VmHWM) while the columns were built, less
what was there before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import machine
from benchmarks.record import ROOT, publish
from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.train.annotated import CocoSet, MdetrSet

SIZES = (300_000, 1_200_000)
SETS: dict[str, type[CocoSet] | type[MdetrSet]] = {"coco": CocoSet, "mdetr": MdetrSet}
LIMIT = 64  # bytes a box
RANKS = ("first", "other")


def write_file(path: Path, boxes: int) -> None:
    """For both formats."""
    images = round(boxes / 5.5)
    rng = np.random.default_rng(0)
    with open(path, "w") as file:
        file.write('{"categories": [' + ", ".join(f'{{"id": {i}, "name": "thing {i}"}}' for i in range(365)))
        file.write('], "annotations": [')
        file.writelines(f"{', ' if number else ''}{row}" for number, row in enumerate(objects(rng, images, boxes)))
        file.write('], "images": [')
        for number in range(images):
            row = {
                "id": 420_000 + number,
                "file_name": f"images/v1/patch8/objects365_v1_{number:08d}.jpg",
                "width": 640,
                "height": 480,
                "caption": f"A man with a hat and his dog sit near number {number} of the lake",
            }
            file.write((", " if number else "") + json.dumps(row))
        file.write("]}")


def objects(rng: np.random.Generator, images: int, boxes: int) -> Iterator[str]:
    for number in range(boxes):
        x, y, width, height = rng.uniform(2, 300, 4).round(4).tolist()
        row = {
            "id": number,
            "image_id": 420_000 + int(rng.integers(images)),
            "category_id": int(rng.integers(365)),
            "bbox": [x, y, width, height],
            "iscrowd": 0,
            "area": round(width * height, 4),
            "tokens_positive": [[0, 5]],
        }
        yield json.dumps(row)


def resident() -> dict[str, int]:
    """Bytes of this process, by the kernel's names."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = {line.partition(":")[0]: line.partition(":")[2].split() for line in lines}
    return {name: int(fields[name][0]) * 1024 for name in ("VmRSS", "VmHWM", "RssAnon", "RssFile")}


def open_and_read(folder: Path, format: str) -> dict[str, int]:
    """A rank: what its memory has grown by, in bytes."""
    run = RunFiles(LocalStorage(str(folder / "run")), [], "benchmark", lambda *_: None)
    read_all(SETS[format](run, str(folder / "small.json"), str(folder), run=run))  # brings in all modules
    before = resident()
    gold = SETS[format](run, str(folder / "gold.json"), str(folder), run=run)
    opened = resident()
    read_all(gold)
    after = resident()
    return {
        "private": after["RssAnon"] - before["RssAnon"],
        "shared": after["RssFile"] - before["RssFile"],
        "peak": opened["VmHWM"] - before["VmRSS"],
    }


def read_all(gold: CocoSet | MdetrSet) -> None:
    """All that samples are made of, but the images."""
    for index in range(len(gold)):
        gold.names(index), gold.shape(index), gold.boxes(index).sum()
        for column in ("id", "file_name", "caption"):
            gold.text(column, index)


def measure(boxes: int, format: str) -> dict[str, dict[str, int]]:
    """By rank, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_file(Path(folder) / "small.json", 1000)
        write_file(Path(folder) / "gold.json", boxes)
        command = [sys.executable, "-m", "benchmarks.gold_memory", "--rank", folder, format]
        return {rank: json.loads(subprocess.check_output(command, cwd=ROOT)) for rank in RANKS}


def grown(values: dict[str, int]) -> int:
    return values["private"] + values["shared"]


def figures(found: dict[int, dict[str, dict[str, int]]]) -> dict[str, Any]:
    """Bytes a box."""
    table: dict[str, Any] = {
        str(boxes): {
            rank: {name: round(values[name] / boxes, 1) for name in ("private", "shared", "peak")}
            for rank, values in ranks.items()
        }
        for boxes, ranks in found.items()
    }
    small, large = min(found), max(found)
    more = {rank: round((grown(found[large][rank]) - grown(found[small][rank])) / (large - small), 1) for rank in RANKS}
    return {**table, "more": more}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="two numbers of boxes [300000,1200000]")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gold_memory.json")
    parser.add_argument("--rank", nargs=2, metavar=("FOLDER", "FORMAT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank:
        sys.stdout.write(json.dumps(open_and_read(Path(options.rank[0]), options.rank[1])))
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    result = {format: figures({size: measure(size, format) for size in sizes}) for format in SETS}
    publish(
        {"limit": LIMIT, "bytes_per_box": result, "command": "python -m benchmarks.gold_memory", **machine()},
        options.out,
    )


if __name__ == "__main__":
    main()
