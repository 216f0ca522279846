"""Duplicates among embeddings: the search of curate beside faiss, on the same made-up vectors in the same run.

    python -m benchmarks.curate_embeddings --out benchmarks/results/curate_embeddings.json

2 million vectors of 384 numbers lie around 5,000 topics, whose sizes fall as in Zipf's law. A fifth of them are
planted: an earlier one with noise, at a cosine between 0.85 and 0.99. Both sides look for all pairs with a cosine of
0.9 or more:

- curate: k-means over the sample, the places of all vectors, pairs with earlier vectors by cluster.
- faiss: an IVF of as many lists, trained on the same sample, range-searched with every vector. Of the numbers of probes
  that are tried, it has the smallest whose recall for the drawn queries is no less than curate's, and the largest
  where there is none.
- for the first 100,000 vectors: curate all with all, and faiss' flat index.

Recall is measured for 10,000 drawn vectors: their earlier neighbours, found by comparing them with all. Each side
runs in a process of its own, on as many threads; memory is its peak of anonymous memory, and its peak with mapped
files. faiss-cpu is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import ROOT, processor_name, publish
from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from stages.curate.clusters import kmeans
from stages.curate.neighbours import Places, Rows, find_neighbours, find_places
from stages.curate.vectors import Vectors, alike

TOPICS, PLANTED, SPREAD = 5000, 0.2, 1.2
PROBES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # of faiss that are tried
AT_ONCE = 1 << 16
Ints = NDArray[np.int64]


def main() -> None:
    given = arguments()
    if given.side:
        SIDES[given.side](given)
        return
    with tempfile.TemporaryDirectory() as scratch:
        given.scratch = Path(scratch)
        make(given)
        truth = earlier_neighbours(given)
        ours = run(given, "curate", truth)
        sides = {
            "curate": ours,
            "faiss_ivf": run(given, "faiss_ivf", truth, {"recall": ours["recall"]}),
            "curate_exact": run(given, "curate_exact", truth),
            "faiss_flat": run(given, "faiss_flat", truth),
        }
    settings = {name: getattr(given, name) for name in SETTINGS}
    versions = {package: version(package) for package in ("numpy", "faiss-cpu")}
    about = {"device": processor_name(), "versions": versions, "date": datetime.now(UTC).date().isoformat()}
    ratios = {
        "time_over_faiss_ivf": sides["curate"]["seconds"] / sides["faiss_ivf"]["seconds"],
        "time_over_faiss_flat": sides["curate_exact"]["seconds"] / sides["faiss_flat"]["seconds"],
    }
    publish({**settings, **about, **sides, **ratios, "neighbours_of_queries": len(truth)}, given.out)


SETTINGS = ("count", "width", "exact", "queries", "clusters", "sample", "least", "memory", "threads", "seed")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--exact", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--clusters", type=int, default=2048)
    parser.add_argument("--sample", type=int, default=65_536)
    parser.add_argument("--least", type=float, default=0.9)
    parser.add_argument("--memory", type=float, default=4.0, help="GiB, as curate.memory")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--side", choices=list(SIDES), help="used by the benchmark itself: one side, in its process")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--recall", type=float, default=1.0)
    return parser.parse_args()


def make(given: argparse.Namespace) -> None:
    """vectors: float16, row by row; planted.npy: the row that each row is a copy of, -1 for none."""
    draw = np.random.default_rng(given.seed)
    topics = draw.normal(size=(TOPICS, given.width)).astype(np.float32)
    weights = 1 / np.arange(1, TOPICS + 1) ** 0.8
    planted = np.full(given.count, -1)
    singles, rows = np.empty((0, given.width), np.float32), np.empty(0, np.int64)  # of the block before: no copies
    with (given.scratch / "vectors").open("wb") as file:
        for start in range(0, given.count, AT_ONCE):
            size = min(AT_ONCE, given.count - start)
            block = topics[draw.choice(TOPICS, size, p=weights / weights.sum())]
            block = unit(block + SPREAD * draw.normal(size=block.shape).astype(np.float32))
            chosen = draw.random(size) < PLANTED
            chosen[0] = False
            pool, numbers = np.concatenate([singles, block[~chosen]]), start + np.flatnonzero(~chosen)
            numbers, copies = np.concatenate([rows, numbers]), np.flatnonzero(chosen)
            of = draw.integers(0, np.searchsorted(numbers, start + copies))  # an earlier single
            noise = unit(draw.normal(size=(len(copies), given.width)).astype(np.float32))
            cosine = draw.uniform(0.85, 0.99, (len(copies), 1)).astype(np.float32)
            block[copies] = unit(pool[of] + noise * np.sqrt(1 / cosine**2 - 1))
            planted[start + copies] = numbers[of]
            file.write(block.astype(np.float16).tobytes())
            singles, rows = block[~chosen], start + np.flatnonzero(~chosen)
    np.save(given.scratch / "planted.npy", planted)


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def opened(given: argparse.Namespace) -> Vectors:
    found: Vectors = np.memmap(given.scratch / "vectors", np.float16, "r").reshape(-1, given.width)
    return found


def earlier_neighbours(given: argparse.Namespace) -> set[tuple[int, int]]:
    """(later, earlier) for the drawn queries, by comparing them with all rows. Also kept as queries.npy, truth.npy."""
    vectors = opened(given)
    draw = np.random.default_rng(given.seed + 1)
    queries = np.sort(draw.choice(given.count, min(given.queries, given.count), replace=False))
    rows = np.asarray(vectors[queries])
    pairs = []
    for start in range(0, given.count, AT_ONCE):
        block = np.asarray(vectors[start : start + AT_ONCE])
        for at in range(0, len(queries), 1024):
            one, other = alike(rows[at : at + 1024], block, given.least)
            pairs.append(np.stack([queries[at + one], start + other], axis=1))
    found = np.concatenate(pairs)
    found = found[found[:, 1] < found[:, 0]]
    np.save(given.scratch / "queries.npy", queries)
    np.save(given.scratch / "truth.npy", found)
    return {(later, earlier) for later, earlier in found.tolist()}


def run(given: argparse.Namespace, side: str, truth: set[tuple[int, int]], more: Any = None) -> dict[str, Any]:
    """Figures of one side, which runs in a process of its own."""
    options = {name: getattr(given, name) for name in (*SETTINGS, "scratch")} | {"side": side} | (more or {})
    command = [sys.executable, "-m", "benchmarks.curate_embeddings"]
    command += [f"--{name}={value}" for name, value in options.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1" if side.startswith("curate") else str(given.threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    pairs = np.load(given.scratch / f"{side}.npy")
    stop = given.exact if side.endswith(("exact", "flat")) else given.count
    wanted = {pair for pair in truth if pair[0] < stop}
    queries = np.load(given.scratch / "queries.npy")
    own = {(later, earlier) for later, earlier in pairs[np.isin(pairs[:, 0], queries)].tolist()}
    figures["recall"] = len(own & wanted) / max(len(wanted), 1)
    figures["precision"] = len(own & wanted) / max(len(own), 1)
    planted = np.load(given.scratch / "planted.npy")[:stop]
    copies = np.flatnonzero(planted >= 0)
    found = {(later, earlier) for later, earlier in pairs.tolist()}
    vectors = opened(given)
    near = copies[[is_near(vectors, row, planted[row], given.least) for row in copies]]
    figures["planted"] = len(near)
    figures["recall_of_planted"] = sum((row, planted[row]) in found for row in near.tolist()) / max(len(near), 1)
    return {**figures, "pairs": len(pairs)}


def is_near(vectors: Vectors, row: int, other: int, least: float) -> bool:
    one, two = vectors[row].astype(np.float64), vectors[other].astype(np.float64)
    return bool(one @ two >= least * np.sqrt((one @ one) * (two @ two)))


# -- the sides ---------------------------------------------------------------------------------------------------------


def in_status(name: str) -> int:
    """KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def measured(figures: dict[str, Any]) -> Iterator[None]:
    """Seconds and memory of what runs inside."""
    over, peak = threading.Event(), [0]

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], in_status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        yield
        figures["seconds"] = round(time.perf_counter() - start, 3)
    finally:
        over.set()
        watcher.join()
    figures["anonymous_mib"] = peak[0] // 1024
    figures["peak_mib"] = in_status("VmHWM") // 1024


def finish(figures: dict[str, Any], given: argparse.Namespace, later: Ints, earlier: Ints) -> None:
    np.save(given.scratch / f"{given.side}.npy", np.stack([later, earlier], axis=1))
    sys.stdout.write(json.dumps(figures))


def run_of(given: argparse.Namespace) -> RunFiles:
    """A run without parts, whose scratch files hold the vectors."""
    run = RunFiles(LocalStorage(str(given.scratch / given.side)), [], "merge", lambda done, total, text: None)
    path = run.scratch.path("embedding")
    path.parent.mkdir(parents=True)
    os.link(given.scratch / "vectors", path)
    return run


def curate(given: argparse.Namespace) -> None:
    run, rows, figures = run_of(given), Rows("embedding", "drawn", given.count, given.width), dict[str, Any]()
    vectors = rows.opened(run.scratch)
    with measured(figures):
        centres = kmeans(np.asarray(vectors[: given.sample]), given.clusters)
        clustered = time.perf_counter()
        places = find_places(run, rows, centres.vectors, given.threads)
        placed = time.perf_counter()
        memory = int(given.memory * 2**30)
        later, earlier = find_neighbours(run, rows, places, 0, given.sample, given.least, memory, given.threads)
        figures |= {"places_seconds": round(placed - clustered, 3)}
        figures |= {"compare_seconds": round(time.perf_counter() - placed, 3)}
    figures["largest_cluster"] = int(np.bincount(places.own).max())
    finish(figures, given, later, earlier)


def curate_exact(given: argparse.Namespace) -> None:
    run, rows, figures = run_of(given), Rows("embedding", "drawn", given.exact, given.width), dict[str, Any]()
    nowhere = Places(np.empty((0, 1), np.int32), np.empty(0))
    with measured(figures):
        memory = int(given.memory * 2**30)
        later, earlier = find_neighbours(run, rows, nowhere, 0, given.exact, given.least, memory, given.threads)
    finish(figures, given, later, earlier)


def faiss_flat(given: argparse.Namespace) -> None:
    import faiss

    faiss.omp_set_num_threads(given.threads)
    vectors, figures = opened(given)[: given.exact], dict[str, Any]()
    with measured(figures):
        rows = unit(np.asarray(vectors, np.float32))
        index = faiss.IndexFlatIP(given.width)
        index.add(rows)
        later, earlier = searched(index, rows, given.least)
    finish(figures, given, later, earlier)


def faiss_ivf(given: argparse.Namespace) -> None:
    """The number of probes is chosen outside of the time that is measured."""
    import faiss

    faiss.omp_set_num_threads(given.threads)
    vectors, figures = opened(given), dict[str, Any]()
    queries, truth = np.load(given.scratch / "queries.npy"), np.load(given.scratch / "truth.npy")
    wanted = {(later, earlier) for later, earlier in truth.tolist()}

    def built() -> Any:
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(given.width), given.width, given.clusters, faiss.METRIC_INNER_PRODUCT
        )
        index.train(unit(np.asarray(vectors[: given.sample], np.float32)))
        for start in range(0, given.count, AT_ONCE):
            index.add(unit(np.asarray(vectors[start : start + AT_ONCE], np.float32)))
        return index

    with measured(figures):
        index = built()
    building = figures["seconds"]
    tried = {}
    for probes in PROBES:
        index.nprobe = probes
        later, earlier = searched(index, unit(vectors[queries].astype(np.float32)), given.least, queries)
        found = set(zip(later.tolist(), earlier.tolist(), strict=True))
        tried[probes] = len(found & wanted) / max(len(wanted), 1)
        if tried[probes] >= given.recall:
            break
    with measured(figures):
        pieces = []
        for start in range(0, given.count, AT_ONCE):
            rows = unit(np.asarray(vectors[start : start + AT_ONCE], np.float32))
            pieces.append(searched(index, rows, given.least, np.arange(start, start + len(rows))))
    figures |= {"probes": index.nprobe, "recall_by_probes": tried, "building_seconds": building}
    figures["seconds"] = round(figures["seconds"] + building, 3)
    finish(figures, given, *(np.concatenate(column) for column in zip(*pieces, strict=True)))


def searched(index: Any, rows: NDArray[np.float32], least: float, numbers: Ints | None = None) -> tuple[Ints, Ints]:
    """(M,), (M,) later and earlier row of the pairs that a range search finds."""
    limits, _, found = index.range_search(rows, least)
    later = np.repeat(np.arange(len(rows)) if numbers is None else numbers, np.diff(limits.astype(np.int64)))
    earlier = found.astype(np.int64)
    chosen = earlier < later
    return later[chosen], earlier[chosen]


SIDES = {"curate": curate, "curate_exact": curate_exact, "faiss_ivf": faiss_ivf, "faiss_flat": faiss_flat}

if __name__ == "__main__":
    main()
