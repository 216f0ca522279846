"""How phrase extraction carries load: memory over ever new captions, and the phrases stage on one and two workers."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT

PART = 10_000  # captions: the engine's default part


def ever_new(captions: list[str], total: int) -> Iterator[str]:
    """One word of each caption gets a number, so that none comes twice."""
    for n, caption in enumerate(islice(cycle(captions), total)):
        words = caption.split(" ")
        words[n % len(words)] += str(n)
        yield " ".join(words)


def resident_mib() -> float:
    """Of this process, now; on systems without /proc the peak so far."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return round(int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1)


def memory(captions: list[str], total: int) -> dict[str, Any]:
    """Resident memory (MiB) of a process while `total` ever new captions pass through our extractor."""
    from stages.phrases import NounPhraseExtractor

    extractor = NounPhraseExtractor()
    source, done, marks = ever_new(captions, total), 0, {}
    while batch := list(islice(source, max(1, total // 20))):
        for _ in extractor.parse(batch):
            pass
        done += len(batch)
        marks[str(done)] = resident_mib()
    return {"captions": total, "mib_after": marks}


def workers(captions: list[str], parts: int) -> dict[str, Any]:
    """`phrasebox phrases` over so many parts of 10,000 captions with one and with two workers.

    `seconds` counts from the first part's start to the last part's commit, so that starting Ray, which a long run does
    once, is not in it; `command_seconds` is the whole command.
    """
    import pyarrow as pa
    from pyarrow import parquet

    with tempfile.TemporaryDirectory() as folder:
        rows = list(islice(cycle(captions), parts * PART))
        parquet.write_table(pa.table({"caption": rows}), f"{folder}/captions.parquet", row_group_size=PART)
        run = Path(folder) / "run"
        config = {"run": str(run), "part_size": PART, "ingest": {"source": f"{folder}/captions.parquet"}}
        Path(folder, "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        _phrasebox("ingest", folder, "--inline")
        found = {f"workers_{n}": _phrases_with(n, folder, run) for n in (1, 2)}
    ratio = found["workers_1"]["seconds"] / found["workers_2"]["seconds"]
    return {"captions": parts * PART, "parts": parts, **found, "ratio": round(ratio, 2)}


def _phrases_with(count: int, folder: str, run: Path) -> dict[str, float]:
    start = time.perf_counter()
    _phrasebox("phrases", folder, "--workers", str(count), "--force")
    whole = time.perf_counter() - start
    records = list((run / "commits" / "phrases").glob("part-*.json"))
    ends = [record.stat().st_mtime for record in records]
    seconds = [json.loads(record.read_text(encoding="utf-8"))["seconds"] for record in records]
    first = min(end - taken for end, taken in zip(ends, seconds, strict=True))
    return {"seconds": round(max(ends) - first, 2), "command_seconds": round(whole, 2)}


def _phrasebox(command: str, folder: str, *options: str) -> None:
    line = [sys.executable, "-m", "pipeline.cli", command, "--config", f"{folder}/config.yaml", *options]
    subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
