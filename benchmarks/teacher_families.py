"""The speed of each detector of transformers as our teacher, beside the library's own pipeline.

    python -m benchmarks.teacher_families --family owlvit omdet-turbo --threads 2 --out FILE     # on the CPU: minutes
    python -m benchmarks.teacher_families --family owlv2 --count 1 --batch-sizes 1 --threads 2 --out FILE    # five more
    python -m benchmarks.teacher_families --device cuda --precision bf16 --batch-sizes 1 8 16 32 --count 256
    python -m benchmarks.teacher_families --rehearse                # small networks, scenes: half a minute

Real photos of ../shared/data/coco-mini with the phrases that the default extractor finds in their captions, from JPEG
bytes to boxes. Networks have their published sizes and random weights (benchmarks/detectors.py), and both sides open
the same checkpoint. `library` is `pipeline("zero-shot-object-detection")`, which runs the whole network for each
phrase; there is none for OmDet-Turbo, whose forward is called with all phrases. Ours reads the caption once (Grounding
DINO), or encodes the image once. Each round measures both sides, one after the other, after a warm-up; rates are
medians over the rounds, with the lowest and the highest beside them. ratio_at_1: ours over the library's with batches
of 1; ratio_at_best: of the best batch sizes. Families that FILE has already, and this call does not measure, stay in
it: each has the command that made it. On a CPU, `grounding-dino` and `mm-grounding-dino` take as long as `owlv2`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.detectors import FAMILIES, FLOOR, Library, write_checkpoint
from benchmarks.record import command_line, publish
from benchmarks.teacher import name_of, versions
from benchmarks.teacher_measure import Pair, photos, scenes
from model import teachers
from model.device import PRECISIONS, forbid_tf32
from model.scheduler import Request, Scheduler
from schemas.config import LabelConfig
from stages.images import decode_rgb

Run = Callable[[Sequence[Pair], int], Iterable[int]]


def texts_of(pair: Pair) -> list[str]:
    return [pair.caption[start:end] for own in pair.spans for start, end in own]


def sides_of(family: str, folder: Path, device: str, precision: str) -> dict[str, Run]:
    """Both sides, ready: functions from pairs and a batch size to the boxes of each image."""
    label = LabelConfig(teacher="transformers", weights=str(folder), device=device, precision=precision)
    teacher = teachers.open_teacher(label.model_copy(update=teachers.resolve(label, "photos")))
    library = Library(family, folder, device, PRECISIONS[precision])

    def ours(pairs: Sequence[Pair], batch_size: int) -> Iterable[int]:
        requests = (
            Request(pair.size, partial(decode_rgb, pair.jpeg, 10**8), teacher.caption_work(pair.caption, pair.spans))
            for pair in pairs
        )
        return (len(found.scores) for _, found in Scheduler(teacher, batch_size).stream(requests, FLOOR))

    def theirs(pairs: Sequence[Pair], batch_size: int) -> Iterable[int]:
        return library.ground([(pair.jpeg, texts_of(pair)) for pair in pairs], batch_size)

    return {"ours": ours, "library": theirs}


def rate(run: Run, pairs: Sequence[Pair], batch_size: int) -> float:
    """Images per second."""
    start = time.perf_counter()
    sum(run(pairs, batch_size))
    return len(pairs) / (time.perf_counter() - start)


def measured(runs: dict[str, Run], pairs: Sequence[Pair], batch_size: int, rounds: int) -> dict[str, Any]:
    """Rates of both sides at a batch size; what a side cannot do is said instead."""
    row: dict[str, Any] = {"batch_size": batch_size}
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):  # the first one warms up
        for name, run in runs.items():
            if name in rates:
                try:
                    rates[name].append(rate(run, pairs[:batch_size] if number == 0 else pairs, batch_size))
                except (RuntimeError, ValueError) as error:
                    del rates[name]
                    row[f"{name}_failed"] = str(error).strip().splitlines()[0][:200]
    row |= {name: round(statistics.median(own[1:]), 4) for name, own in rates.items()}
    return row | {f"{name}_range": [round(own(rates[name][1:]), 4) for own in (min, max)] for name in rates}


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Ours over the library's, with batches of 1 and with the best of each."""

    def ratio(found: Sequence[dict[str, Any]]) -> float | None:
        best = {side: max((row[side] for row in found if side in row), default=None) for side in ("ours", "library")}
        return round(best["ours"] / best["library"], 2) if best["ours"] and best["library"] else None

    return {"ratio_at_1": ratio([row for row in rows if row["batch_size"] == 1]), "ratio_at_best": ratio(rows)}


def of_family(family: str, pairs: Sequence[Pair], options: argparse.Namespace) -> dict[str, Any]:
    words = [word for pair in pairs for word in pair.caption.split()]
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(family, words, Path(folder), options.rehearse)
        runs = sides_of(family, Path(folder), options.device, options.precision)
        rows = [measured(runs, pairs, size, options.rounds) for size in options.batch_sizes]
    phrases = round(sum(len(texts_of(pair)) for pair in pairs) / len(pairs), 2)
    about = {"family": family, "size_of": FAMILIES[family], "phrases_per_image": phrases}
    return {**about, "rows": rows, **ratios(rows), **how(options)}


def how(options: argparse.Namespace) -> dict[str, Any]:
    """With what a family was measured."""
    return {
        "command": command_line("benchmarks.teacher_families"),
        "count": options.count,
        "rounds": options.rounds,
        "threads": options.threads,
        "precision": options.precision,
        "device": name_of(options.device),
        "versions": versions(),
        "date": date.today().isoformat(),
    }


def measured_before(out: Path | None) -> dict[str, Any]:
    """By family, what a result's file has already."""
    if out is None or not out.exists():
        return {}
    return {entry["family"]: entry for entry in json.loads(out.read_text(encoding="utf-8"))["families"]}


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--count", type=int, default=4, help="images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--rehearse", action="store_true", help="small networks and drawn scenes")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    forbid_tf32()
    pairs = scenes(options.count) if options.rehearse else photos(options.count)
    found = measured_before(options.out)
    found |= {family: of_family(family, pairs, options) for family in options.family}
    result = {
        "what": "images per second from JPEG bytes to boxes, of detectors of transformers",
        "protocol": " ".join((__doc__ or "").split("\n\n", 2)[2].split()),
        "families": [found[family] for family in FAMILIES if family in found],
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
