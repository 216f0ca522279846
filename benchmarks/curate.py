"""The search for copies among millions of images: seconds, memory, recall and precision; and the rate of hashing.

    python -m benchmarks.curate --images 24000000 --memory 2 --out benchmarks/results/curate.json

Images are drawn from signatures of real photographs, with planted copies (`benchmarks/curate_corpus.py`); two other
processes draw them, and the time that is spent in waiting for them does not count. Reading the same columns from
Parquet is measured on some parts. The merge of `phrasebox curate` runs as it is, with all that it writes.

Blocks of the search run in threads of this process. `anonymous_gib` is the memory that cannot be given back;
`resident_gib` counts pages of the mapped scratch files, too.
`keys` says how evenly keys are spread, for photographs and for drawn images of the same number: how many pairs of views
share one, beside what uniform keys would have.
"""

from __future__ import annotations

import argparse
import datetime
import io
import multiprocessing
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.curate_corpus import EXACT, KINDS, Bank, Corpus, Ints, bank_of, mixed, photographs
from benchmarks.record import ROOT, processor_name, publish
from pipeline.storage.files import RunFiles
from pipeline.storage.local import LocalStorage
from schemas.config import CurateConfig, IngestConfig
from stages.curate import candidates, merge, near
from stages.curate.images import signed
from stages.curate.pairs import SIGNATURES
from stages.curate.signature import BITS, VIEWS, Bytes, bits_of

PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "flickr8k-wds"
PART = 10_000
DRAWERS = 2
PHASES: dict[str, ModuleType] = {
    **{"read_pairs": merge, "spool": near, "find_candidates": near, "are_alike": near},
    **{"roots": merge, "write_tables": merge},
}


# -- the corpus, in other processes ------------------------------------------------------------------------------------


def draw(connection: Connection, bank: Bank) -> None:
    """Answers (column, numbers) until it is told to stop."""
    corpus = Corpus(bank)
    while asked := connection.recv():
        column, numbers = asked
        connection.send(np.concatenate([getattr(corpus, column)(some) for some in np.array_split(numbers, 20)]))


class Drawn(RunFiles):
    """A run whose signatures are drawn as they are read, each drawer's share at the same time."""

    def __init__(self, folder: Path, images: int, drawers: Sequence[Connection]) -> None:
        super().__init__(LocalStorage(str(folder)), range(-(-images // PART)), "merge", lambda done, total, text: None)
        self.images, self.drawers, self.waited = images, drawers, 0.0
        self.kept: dict[int, Ints] = {}  # by part: the number of the image that each is a copy of; -1: kept

    def ask(self, column: str, numbers: Ints) -> Bytes:
        start = time.perf_counter()
        for drawer, some in zip(self.drawers, np.array_split(numbers, len(self.drawers)), strict=True):
            drawer.send((column, some))
        found: Bytes = np.concatenate([drawer.recv() for drawer in self.drawers])
        self.waited += time.perf_counter() - start
        return found

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        numbers = np.arange(part * PART, min((part + 1) * PART, self.images))
        return pa.table({column: self._column(column, numbers) for column in columns or ()})

    def _column(self, name: str, numbers: Ints) -> Any:
        if name == "key":
            return merge.keys_of(numbers // PART * 100_000 + numbers % PART)
        if name in ("place", "caption"):
            return pa.array(mixed(numbers, 6 if name == "place" else 7))
        values = self.ask({"sha256": "digests", "bits": "bits", "thumb": "thumbs"}[name], numbers)
        size = values[0].size
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(size), len(values), [None, pa.py_buffer(values)])

    def write_part(self, dataset: str, part: int, table: pa.Table) -> None:
        super().write_part(dataset, part, table)
        keys = table["duplicate_of"].fill_null("-1").cast(pa.int64()).to_numpy()
        self.kept[part] = np.where(keys < 0, -1, keys // 100_000 * PART + keys % 100_000)


# -- figures -----------------------------------------------------------------------------------------------------------


class Clock:
    """Wall seconds of each function of the merge, less the time in which it waited for the corpus."""

    def __init__(self, run: Drawn) -> None:
        self.run, self.seconds = run, dict.fromkeys(PHASES, 0.0)
        for name, module in PHASES.items():
            setattr(module, name, self._timed(name, getattr(module, name)))

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            start, waited = time.perf_counter(), self.run.waited
            try:
                return function(*given, **named)
            finally:
                self.seconds[name] += time.perf_counter() - start - (self.run.waited - waited)

        return timed


class Peak(threading.Thread):
    """The most anonymous memory of this process, looked at five times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.kib, self.ended = 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            lines = Path("/proc/self/status").read_text().splitlines()
            self.kib = max(self.kib, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon")))


def judged(corpus: Corpus, kept: dict[int, Ints]) -> dict[str, Any]:
    """Recall by kind, and precision: a copy is right where the image in its place is of the same source."""
    planted, found, right, wrong = np.zeros(EXACT + 1, int), 0, np.zeros(EXACT + 1, int), []
    for part, instead in kept.items():
        numbers = np.arange(part * PART, part * PART + len(instead))
        kind, dropped = corpus.kinds(numbers), np.flatnonzero(instead >= 0)
        same = corpus.sources(numbers[dropped]) == corpus.sources(instead[dropped])
        planted += np.bincount(kind, minlength=EXACT + 1)
        right += np.bincount(kind[dropped[same]], minlength=EXACT + 1)
        found += len(dropped)
        wrong += [[int(numbers[row]), int(instead[row])] for row in dropped[~same]]
    near, names = slice(1, EXACT), [*map(str, KINDS), "same bytes"]
    return {
        "planted": int(planted[1:].sum()),
        "found": found,
        "recall_of_altered": round(float(right[near].sum() / planted[near].sum()), 5),
        "recall": {names[kind]: round(right[kind] / max(1, planted[kind]), 5) for kind in range(1, EXACT + 1)},
        "precision": round(1 - len(wrong) / max(1, found), 6),
        "wrong": len(wrong),
        "first_wrong": wrong[:20],
    }


def keys(bits: Bytes) -> dict[str, Any]:
    """Of buckets of keys that different images share, and of the correlations of the bits of a whole image."""
    pairs, largest = [], 0
    for table in range(len(candidates.TABLES)):
        entries = np.sort(np.concatenate(list(candidates._entries(bits, len(VIEWS), table, 0, 1))))
        sizes = candidates._one_per_image(entries, len(VIEWS))[1]
        pairs.append(int((sizes * (sizes - 1) // 2).sum()))
        largest = max(largest, int(sizes.max(initial=0)))
    uniform = (len(bits) * len(VIEWS)) ** 2 / 2 / 2**32
    off = np.corrcoef(np.unpackbits(bits[:, 0], axis=-1).T.astype(np.float32))[~np.eye(BITS, dtype=bool)]
    return {
        "images": len(bits),
        "pairs_by_table_over_uniform": [round(count / uniform, 2) for count in pairs],
        "largest_bucket": largest,
        "correlation_rms": round(float(np.sqrt(np.mean(off**2))), 4),
        "correlation_max": round(float(np.abs(off).max()), 3),
    }


def hashing(folder: Path, count: int) -> dict[str, Any]:
    """Images a second on one core, in turns: signatures as the stage makes them, and imagehash's pHash."""
    import imagehash

    images = list(photographs(folder, count))
    seconds = {"phrasebox": 0.0, "imagehash_phash": 0.0}
    for start in range(0, len(images), 250):
        some = images[start : start + 250]
        begin = time.perf_counter()
        made = [entry for _, entry in signed(enumerate(some), 10**8)]
        middle = time.perf_counter()
        others = [imagehash.phash(Image.open(io.BytesIO(data))) for data in some]
        seconds["phrasebox"] += middle - begin
        seconds["imagehash_phash"] += time.perf_counter() - middle
        if None in made or len(others) != len(made):
            raise SystemExit("a photograph cannot be read")
    return {"images": len(images), "images_per_second": {name: round(count / s) for name, s in seconds.items()}}


def reading(run: Drawn, parts: int) -> float:
    """Seconds to read the same columns of all parts from Parquet, by some of them."""
    with tempfile.TemporaryDirectory() as folder:
        files = RunFiles(LocalStorage(folder), range(parts), "merge", lambda done, total, text: None)
        names = ("key", "sha256", "place", "caption", "bits", "thumb")
        for part in range(parts):
            files.write_part(SIGNATURES, part, run.read_part(SIGNATURES, part, names))
        start = time.perf_counter()
        for part in range(parts):
            for columns in (names[:4], ("bits",), ("thumb",)):
                files.read_part(SIGNATURES, part, columns)
        return (time.perf_counter() - start) / parts * len(run.parts())


def search(images: int, bank: Bank, memory: float, threads: int) -> dict[str, Any]:
    """The merge over a corpus."""
    pipes = [multiprocessing.Pipe() for _ in range(DRAWERS)]
    context = multiprocessing.get_context("fork")
    drawers = [context.Process(target=draw, args=(there, bank), daemon=True) for _, there in pipes]
    for drawer in drawers:
        drawer.start()
    config = CurateConfig(duplicates="perceptual", memory=memory, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        run = Drawn(Path(folder), images, [here for here, _ in pipes])
        reads = reading(run, min(20, len(run.parts())))
        run.waited = 0.0
        clock, peak = Clock(run), Peak()
        peak.start()
        start = time.perf_counter()
        notes = merge.decide(run, config, IngestConfig())
        seconds = time.perf_counter() - start - run.waited
        peak.ended.set()
        peak.join()
    for (here, _), drawer in zip(pipes, drawers, strict=True):
        here.send(None)
        drawer.join()
    return {
        "images": images,
        "memory_of_config_gib": memory,
        "threads": threads,
        "seconds": round(seconds, 1),
        "seconds_of": {name: round(value, 1) for name, value in clock.seconds.items()},
        "seconds_of_reading": round(reads, 1),
        "seconds_of_drawing": round(run.waited, 1),
        "anonymous_gib": round(peak.kib / 2**20, 2),
        "resident_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "notes": notes,
        **judged(Corpus(bank), run.kept),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--photographs", type=int, default=7971, help="how many photographs images are drawn from")
    parser.add_argument("--memory", type=float, default=2.0, help="curate.memory, GiB")
    parser.add_argument("--threads", type=int, default=2, help="curate.threads")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    rates = hashing(PHOTOGRAPHS, min(2000, options.photographs))
    bank = bank_of(PHOTOGRAPHS, options.photographs)
    numbers = np.arange(4 * len(bank.waves))
    originals = numbers[Corpus(bank).kinds(numbers) == 0][: len(bank.waves)]
    spread = {"photographs": keys(bits_of(bank.waves[:, 0])), "drawn": keys(Corpus(bank).bits(originals))}
    given = f"--images {options.images} --memory {options.memory:g} --threads {options.threads}"
    result = {
        "what": "the search for copies of images, and the rate of hashing",
        "command": f"python -m benchmarks.curate {given} --photographs {options.photographs}",
        "hashing": rates,
        "keys": spread,
        "search": search(options.images, bank, options.memory, options.threads),
        "processor": processor_name(),
        "versions": {name: version(name) for name in ("numpy", "pillow", "pyarrow", "imagehash")},
        "date": datetime.date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
