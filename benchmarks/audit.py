"""Audits label parts of GLIP's size: 24M pairs, 78M kept boxes, tens of millions of distinct phrases; all synthetic.

    python -m benchmarks.audit                       # 24M pairs in 2,400 parts, two workers; making them is not timed
    python -m benchmarks.audit --pairs 1000000       # a 1M-pair run
    python -m benchmarks.audit --scratch FOLDER --minutes 8    # in pieces: the same command again goes on

Parts are generated block by block into the scratch folder, audited there by `--workers` processes (timed), and deleted
again; their summaries stay, and are merged at the end (timed). The folder takes 0.5 GB for a block of 100 parts and
1.5 MB for each part that is done: 4 GB for 24M pairs. Peak memory is the largest sum of the workers' resident
memory, or the merging process's, whichever is more. The result goes to benchmarks/results/audit-PAIRS.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.record import publish
from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import Config
from schemas.records import BOX, DATASETS, IMAGE, LABELS, PAIRS, PHRASE, PHRASES, PSEUDO, REJECTS, part_name, schema_of
from stages.audit.stage import AuditStage

PART = 10_000
BLOCK = 100  # parts on the disk at a time
PHRASE_SPACE = 1e10  # phrases are drawn log-uniformly from so many: a long tail with exponent 1
WIDTH, HEIGHT = 640, 480
BOXES_PER_PHRASE = (0.16, 0.34, 0.28, 0.12, 0.10)  # of 0, 1, 2, 3, 4 labelled boxes
KEPT_SHARE = 0.585  # of labelled boxes; with the above, 3.25 kept boxes a pair


def _words(count: int, seed: int) -> pa.Array:
    rng = np.random.default_rng(seed)
    syllables = np.array(
        ["ba", "ko", "ri", "ten", "sul", "mar", "el", "vo", "pin", "dra", "lu", "gre", "st", "on", "ish", "fa"]
    )
    parts = rng.integers(0, len(syllables), (count, 3))
    return pa.array(["".join(syllables[row]) for row in parts])


HEADS, FIRST, SECOND = _words(20_000, 1), _words(3_000, 2), _words(3_000, 3)


def phrases_of(ids: np.ndarray) -> tuple[pa.Array, pa.Array]:
    """Text and head of phrase numbers: frequent ones are a bare noun, rarer ones have one or two adjectives."""
    mixed = ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    head = HEADS.take(pa.array(np.where(ids < 20_000, ids, mixed % np.uint64(20_000)).astype(np.int64)))
    first = FIRST.take(pa.array(((mixed >> np.uint64(20)) % np.uint64(3_000)).astype(np.int64)))
    second = SECOND.take(pa.array(((mixed >> np.uint64(40)) % np.uint64(3_000)).astype(np.int64)))
    one = pc.binary_join_element_wise(first, head, " ")
    two = pc.binary_join_element_wise(second, first, head, " ")
    number = pc.binary_join_element_wise(two, pc.cast(pa.array(ids), pa.string()), " ")
    text = pc.if_else(
        pa.array(ids < 20_000),
        head,
        pc.if_else(pa.array(ids < 10_000_000), one, pc.if_else(pa.array(ids % 4 > 0), two, number)),
    )
    return text, head


def make_part(root: Path, part: int, pairs: int) -> dict[str, int]:
    """Writes pairs, phrases, labels, pseudo and rejects of one part; returns what it holds, as known here."""
    rng = np.random.default_rng([17, part])
    keys = pc.utf8_slice_codeunits(pc.cast(pa.array(10**12 + part * 100_000 + np.arange(pairs)), pa.string()), 1)
    per_pair = rng.choice(np.arange(9), pairs, p=[0.03, 0.12, 0.2, 0.22, 0.18, 0.12, 0.07, 0.04, 0.02])
    ids = np.exp(rng.random(per_pair.sum()) * np.log(PHRASE_SPACE)).astype(np.int64)
    text, head = phrases_of(ids)
    offsets = np.r_[0, np.cumsum(per_pair)]
    length = pc.utf8_length(text).to_numpy().astype(np.int64)
    begin = np.r_[0, np.cumsum(length + 2)]
    start = begin[:-1] - np.repeat(begin[offsets[:-1]], per_pair)
    struct = pa.StructArray.from_arrays(
        [pa.array(start.astype(np.int32)), pa.array((start + length).astype(np.int32)), text, head, text],
        fields=list(PHRASE),
    )
    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), struct)
    captions = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), text), ", ")
    no_drops = pa.array([[]] * pairs, PHRASES.field("dropped").type)
    _write(root, "phrases", part, [keys, captions, lists, no_drops], PHRASES)
    _write(root, "pairs", part, _pair_columns(rng, part, pairs, keys, captions), PAIRS)
    counts = _write_boxes(root, part, rng, keys, per_pair)
    for stage in ("ingest", "phrases", "label", "filter", "shard"):
        _write(root, f"rejects/{stage}", part, [pa.array([], f.type) for f in REJECTS], REJECTS)
    return counts | {"phrases": int(per_pair.sum())}


def _pair_columns(rng: Any, part: int, pairs: int, keys: pa.Array, captions: pa.Array) -> list[pa.Array]:
    shas = pa.array([rng.bytes(32).hex() for _ in range(pairs)])
    uri = pa.array([f"images/part-{part:07d}.tar"] * pairs)
    offset = pa.array(np.arange(pairs) * 100_000)
    image = pa.StructArray.from_arrays([uri, offset, pa.array(np.full(pairs, 90_000))], fields=list(IMAGE))
    same = [
        pa.array([value] * pairs, kind) for value, kind in ((WIDTH, pa.int32()), (HEIGHT, pa.int32()), (1, pa.int8()))
    ]
    return [keys, keys, captions, image, *same, shas, pa.array(["cc-by"] * pairs), keys]


def _write_boxes(root: Path, part: int, rng: Any, keys: pa.Array, per_pair: np.ndarray) -> dict[str, int]:
    per_phrase = rng.choice(len(BOXES_PER_PHRASE), int(per_pair.sum()), p=BOXES_PER_PHRASE)
    row = np.repeat(np.repeat(np.arange(len(keys)), per_pair), per_phrase)
    within = np.arange(per_pair.sum()) - np.repeat(np.r_[0, np.cumsum(per_pair)][:-1], per_pair)
    phrase = np.repeat(within, per_phrase)
    kept = rng.random(len(row)) < KEPT_SHARE
    score = np.where(kept, 0.5001 + 0.4998 * rng.beta(2, 2, len(row)), 0.1 + 0.4 * rng.beta(1, 2, len(row)))
    x, y = rng.random(len(row)) * WIDTH * 0.8, rng.random(len(row)) * HEIGHT * 0.8
    x2 = np.minimum(x + 4 + rng.exponential(120, len(row)), WIDTH)
    y2 = np.minimum(y + 4 + rng.exponential(100, len(row)), HEIGHT)
    flat = [phrase.astype(np.int32), *(c.astype(np.float32) for c in (x, y, x2, y2, score))]
    sides = [pa.array(np.full(len(keys), side, np.int32)) for side in (WIDTH, HEIGHT)]
    for dataset, schema, where in (("labels", LABELS, np.ones(len(row), bool)), ("pseudo", PSEUDO, kept)):
        struct = pa.StructArray.from_arrays([pa.array(column[where]) for column in flat], fields=list(BOX))
        offsets = np.r_[0, np.cumsum(np.bincount(row[where], minlength=len(keys)))].astype(np.int32)
        dropped = (
            _dropped(row, kept, len(keys), schema)
            if dataset == "pseudo"
            else pa.array([[]] * len(keys), schema.field("dropped").type)
        )
        _write(
            root, dataset, part, [keys, *sides, pa.ListArray.from_arrays(pa.array(offsets), struct), dropped], schema
        )
    return {"boxes": int(kept.sum()), "boxes_labelled": len(row), "pairs_with_boxes": len(np.unique(row[kept]))}


def _dropped(row: np.ndarray, kept: np.ndarray, pairs: int, schema: pa.Schema) -> pa.Array:
    first = np.searchsorted(row, np.arange(pairs))
    index = (np.arange(len(row)) - first[row])[~kept].astype(np.int32)
    fields = list(schema.field("dropped").type.value_type)
    struct = pa.StructArray.from_arrays([pa.array(index), pa.array(["low_score"] * len(index))], fields=fields)
    offsets = np.r_[0, np.cumsum(np.bincount(row[~kept], minlength=pairs))].astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), struct)


def _write(root: Path, dataset: str, part: int, columns: list[pa.Array], schema: pa.Schema) -> None:
    path = root / dataset / f"part-{part:07d}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_arrays(columns, schema=pa.schema([(f.name, c.type) for f, c in zip(schema, columns)])).cast(
        schema_of(dataset)
    )
    pq.write_table(table, path, compression="zstd")


def audit_part(root: str, config: Config, part: int) -> int:
    """Summarises one part as a worker does; returns the process's peak resident memory in bytes."""
    pa.set_cpu_count(1)
    names = [*DATASETS, *(f"rejects/{folder.name}" for folder in (Path(root) / "rejects").iterdir())]
    there = {name: "" for name in names if (Path(root) / name / part_name(part)).exists()}
    files = PartFiles(LocalStorage(root), part, None, f"bench-{part}", lambda *_: None, there)
    AuditStage(config).run_part(files)
    files.publish()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def merge(root: str, config: Config, parts: int) -> tuple[dict[str, Any], float, int]:
    files = RunFiles(LocalStorage(root), range(parts), "bench", lambda *_: None)
    began = time.perf_counter()
    headline = AuditStage(config).merge(files)
    return headline, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(root: Path, pairs: int, workers: int, config: Config, late: Callable[[], bool]) -> dict[str, Any] | None:
    """Goes on where an earlier command stopped; None when it is late before a block, and there is more to do."""
    parts = -(-pairs // PART)
    progress = root / "progress.json"
    state = {"pairs": pairs, "parts": 0, "known": {}, "seconds": 0.0, "peak": 0}
    if progress.exists():
        state = json.loads(progress.read_text())
        if state["pairs"] != pairs:
            sys.exit(f"{root} holds a run of {state['pairs']:,} pairs; name another folder, or delete it")
    for first in range(state["parts"], parts, BLOCK):
        if late():
            return None
        state = audit_block(root, range(first, min(first + BLOCK, parts)), workers, config, state)
        progress.write_text(json.dumps(state))
        sys.stderr.write(f"{state['parts']:,} of {parts:,} parts: {state['seconds']:.0f} s of auditing\n")
    known = state["known"]
    with ProcessPoolExecutor(1) as pool:
        headline, merging, used = pool.submit(merge, str(root), config, parts).result()
    assert all(headline[name] == known[name] for name in ("boxes", "pairs_with_boxes")), (headline, known)
    return {
        "pairs": pairs,
        "parts": parts,
        **known,
        "headline": headline,
        "seconds": {"summaries": state["seconds"], "merge": merging, "total": state["seconds"] + merging},
        "peak_memory_bytes": {"summaries": state["peak"], "merge": used},
        "summary_bytes": sum(path.stat().st_size for path in (root / "summaries" / "audit").iterdir()),
        "page_bytes": (root / "report" / "index.html").stat().st_size,
    }


def audit_block(root: Path, block: range, workers: int, config: Config, state: dict[str, Any]) -> dict[str, Any]:
    """Makes the parts of a block, audits them (timed), and deletes what the merge does not read."""
    known = dict(state["known"])
    pairs = [min(PART, state["pairs"] - part * PART) for part in block]
    with ProcessPoolExecutor(workers) as pool:
        for counts in pool.map(make_part, [root] * len(block), block, pairs):
            known = {name: known.get(name, 0) + n for name, n in counts.items()}
    with ProcessPoolExecutor(workers) as pool:  # new processes: their memory is that of auditing alone
        began = time.perf_counter()
        used = max(pool.map(audit_part, [str(root)] * len(block), [config] * len(block), block))
        seconds = time.perf_counter() - began
    for dataset in ("phrases", "labels", "pseudo", "rejects"):
        shutil.rmtree(root / dataset)  # the merge reads summaries, and pairs for its images
    return {
        "pairs": state["pairs"],
        "parts": block.stop,
        "known": known,
        "seconds": state["seconds"] + seconds,
        "peak": max(state["peak"], used * workers),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=24_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--exact-phrases", type=int, default=5_000_000)
    parser.add_argument("--scratch", help="a folder to work in and to go on from [a temporary one, deleted at the end]")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after the block that passes this; run again")
    parser.add_argument("--out", help="the result's file [benchmarks/results/audit-PAIRS.json]")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    with ExitStack() as stack:
        scratch = Path(options.scratch or stack.enter_context(tempfile.TemporaryDirectory()))
        scratch.mkdir(parents=True, exist_ok=True)
        config = Config.model_validate({"run": str(scratch), "audit": {"exact_phrases": options.exact_phrases}})
        result = measure(scratch, options.pairs, options.workers, config, lambda: time.monotonic() > until)
    if result is None:
        sys.exit("not done yet: run the same command again")
    result |= {
        "command": " ".join(["python -m benchmarks.audit", "--pairs", str(options.pairs)]),
        "date": datetime.date.today().isoformat(),
        "exact_phrases": options.exact_phrases,
        "workers": options.workers,
        "device": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "versions": {"python": platform.python_version(), "pyarrow": pa.__version__, "numpy": np.__version__},
    }
    out = Path(options.out or Path(__file__).parent / "results" / f"audit-{options.pairs}.json")
    publish(result, out)


if __name__ == "__main__":
    main()
