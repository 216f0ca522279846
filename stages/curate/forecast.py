"""What curation will take and set aside, said before it begins, from a sample of the pairs. Nothing is written.

Rules and benchmarks judge a pair by itself, so that their shares of the sample are those of the run. Copies are another
matter: of two copies, a sample of n of N pairs has both with the probability (n / N)^2 only. Each group of copies in
the sample therefore stands for (N / n)^2 pairs of copies in the run. That many pairs are set aside at most: in a group
of three, three pairs are copies, and two are set aside. They are at least the share that is set aside in the sample,
which grows with it. Groups are rare events, whose number is that of a Poisson distribution.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from schemas.tables import CurationTable
from stages.curate import rules
from stages.curate.candidates import ENTRIES, kinds_of, search_bytes
from stages.curate.pairs import SIGNATURES
from stages.curate.sample import SEED, Sample, SamplePart, SampleRun, draw
from stages.curate.signature import BYTES, THUMB, VIEWS
from stages.intervals import poisson, wilson
from stages.stage import ReduceStage, RunIO

if TYPE_CHECKING:
    import pyarrow as pa

    from schemas.config import Config, CurateConfig

PAIRS = 2000  # of a sample
EMBEDDED = 500  # where a network looks at them
FIRST = 8  # pairs that are looked at before the clock starts, so that everything is loaded
PAIR_BYTES = 110  # of the merge's memory
COPIES = ("exact_duplicate", "near_duplicate")
UNTOLD: dict[str, Any] = {"keep_per_cluster": None, "near": ()}
"""Settings that are about clusters of the whole, of which a sample says nothing, and what turns them off."""


@dataclass(frozen=True)
class Judged:
    """A sample as the stage judges it."""

    sample: Sample
    curation: CurationTable
    notes: Mapping[str, Any]  # of its part
    seconds: float  # that its part took
    signatures: pa.Table  # of its part

    @property
    def whole(self) -> bool:
        """Whether it is all that there is."""
        return len(self.sample.pairs) == self.sample.population


def forecast(io: RunIO, stage: ReduceStage, config: Config, workers: int) -> list[str]:
    """Lines for a person; `stage` without what a sample says nothing about."""
    section = config.curate
    sample = draw(io, EMBEDDED if section.embedder.model else PAIRS)
    if sample is None:
        return ["sample    there are no pairs"]
    return [*lines(judge(io, stage, sample), section, workers), *untold(section)]


def judge(io: RunIO, stage: ReduceStage, sample: Sample) -> Judged:
    stage.run_part(SamplePart(io, pairs=sample.pairs.slice(0, FIRST)))
    part = SamplePart(io, pairs=sample.pairs)
    start = time.perf_counter()
    notes = stage.run_part(part).notes
    seconds = time.perf_counter() - start
    run = SampleRun(io, **part.tables)
    stage.merge(run)
    return Judged(sample, CurationTable(run.tables[CurationTable.dataset]), notes, seconds, part.tables[SIGNATURES])


def lines(judged: Judged, config: CurateConfig, workers: int) -> Iterator[str]:
    sample, found = judged.sample, Counter(judged.curation.reason.to_pylist())
    looked_at = f"{judged.notes['images']:,} images"
    if unreadable := judged.notes.get("unreadable"):
        looked_at += f", of which {unreadable:,} cannot be read"
    which = "all" if judged.whole else f"drawn with seed {SEED}"
    yield f"sample    {len(sample.pairs):,} of {sample.population:,} pairs, {which}: {looked_at}"
    yield hours_line(judged, workers)
    set_to = {reason: getattr(config, key) for reason, key in zip(rules.BROKEN, rules.KEYS, strict=True)}
    on = [reason for reason, value in set_to.items() if value is not None and value is not False]
    for reason in [*on, *(["benchmark_leak"] if config.against else [])]:
        yield share_line(reason, found[reason], judged)
    if config.duplicates != "off":
        for reason in COPIES[: 1 if config.duplicates == "exact" else 2]:
            yield copies_line(reason, groups_of(judged.curation, reason), judged)
    yield from search_lines(judged, config)


def hours_line(judged: Judged, workers: int) -> str:
    each, images = judged.seconds / max(1, judged.notes["images"]), judged.sample.images
    hours = each * images / workers / 3600
    unit = "1 worker" if workers == 1 else f"{workers} workers"
    return f"hours     about {hours:,.2f} with {unit}: {1000 * each:.2g} ms for each of {about(images)} images"


def share_line(reason: str, count: int, judged: Judged) -> str:
    """Of a rule that judges pairs one by one; captions repeat less often in a sample."""
    read, population = len(judged.sample.pairs), judged.sample.population
    if judged.whole:
        return f"{reason}: {count:,} pairs"
    share = count / read
    low, high = wilson(share, read)
    if reason == "repeated_caption":
        return f"{reason}: {count:,} in the sample; at least {about(low * population)} pairs, more than a sample shows"
    pairs = [about(number * population) for number in (share, low, high)]
    return f"{reason}: {share:.2%} ({low:.2%} to {high:.2%}), about {pairs[0]} pairs ({pairs[1]} to {pairs[2]})"


def copies_line(reason: str, sizes: NDArray[np.int64], judged: Judged) -> str:
    """`sizes` (G,): of the groups of copies in the sample, with the one that is kept."""
    aside, population = int((sizes - 1).sum()), judged.sample.population
    if judged.whole:
        return f"{reason}: {aside:,} pairs"
    pairs, least, most = bounds(sizes, len(judged.sample.pairs), population)
    seen = f"{reason}: {aside:,} in the sample"
    if most >= population - 1:
        return f"{seen}; at least {about(least)} pairs are set aside, and at most all: the sample is too small to tell"
    low, middle, high = (about(number) for number in pairs)
    return f"{seen}, of about {middle} pairs of copies ({low} to {high}); {about(least)} to {about(most)} are set aside"


def bounds(sizes: NDArray[np.int64], read: int, population: int) -> tuple[tuple[float, float, float], float, float]:
    """Pairs of copies in the run, as an estimate within its interval; and how many are set aside, at least and at most.

    The pairs of a group are seen together or not at all. The interval is that of so many groups of one size as would
    vary as these do (Kish's effective number).
    """
    each = sizes * (sizes - 1) / 2
    together, aside = float(each.sum()), float((sizes - 1).sum())
    groups = int(together**2 / (each**2).sum()) if len(sizes) else 0
    low, high = poisson(groups)
    scale = population * (population - 1) / (read * (read - 1)) if read > 1 else float(population) ** 2
    share = [low / groups, 1.0, high / groups] if groups else [0.0, 0.0, high]  # of what was seen; else of one pair
    pairs = [number * max(together, 1.0) * scale for number in share]
    return (pairs[0], pairs[1], pairs[2]), share[0] * aside * population / read, min(pairs[2], population - 1.0)


def groups_of(curation: CurationTable, reason: str) -> NDArray[np.int64]:
    """(G,) pairs that are copies of one pair for this reason, and that one."""
    chosen = curation.reason.to_pylist()
    kept = Counter(of for of, why in zip(curation.duplicate_of.to_pylist(), chosen, strict=True) if why == reason)
    return np.array(sorted(kept.values()), np.int64) + 1


def search_lines(judged: Judged, config: CurateConfig) -> Iterator[str]:
    """Disk, and memory of the merge."""
    images, population = int(judged.sample.images), judged.sample.population
    vectors = images * vector_bytes(judged.signatures)
    signs = "bits" in judged.signatures.column_names
    scratch = vectors + images * (len(VIEWS) * BYTES + THUMB * THUMB) * signs
    search = vectors * (config.duplicates == "embedding") + search_bytes(images, config.flips) * signs
    size = (judged.signatures.nbytes + judged.curation.table.nbytes) / len(judged.curation) * population
    beside = f", and up to {gb(scratch)} for the search while it lasts" if scratch else ""
    yield f"disk      about {gb(size)} in summaries/curate/ and curation/{beside}"
    most = min(search, int(config.memory * 2**30))
    beside = f", and {gb(most)} for the search (curate.memory)" if most else ""
    yield f"memory    about {gb(PAIR_BYTES * population + most)} for the merge: {PAIR_BYTES} bytes a pair{beside}"
    if signs and images * kinds_of(config.flips) >= ENTRIES:
        yield f"search    impossible: one run can compare {ENTRIES // kinds_of(config.flips):,} images at most"


def vector_bytes(signatures: pa.Table) -> int:
    """Of an image; 0 where it has no vector."""
    if "embedding" not in signatures.column_names or signatures["embedding"].null_count == len(signatures):
        return 0
    return int(signatures["embedding"].type.byte_width)


def untold(config: CurateConfig) -> list[str]:
    names = [name for name, off in UNTOLD.items() if getattr(config, name) != off]
    return [f"{' and '.join(names)}: not estimated, since clusters are those of the whole"] if names else []


def about(number: float) -> str:
    """Three digits of it."""
    return f"{float(f'{number:.3g}'):,.0f}"


def gb(size: float) -> str:
    return f"{size / 1e9:,.2f} GB"
