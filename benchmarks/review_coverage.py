"""How often the intervals of `phrasebox review` hold the truth, on simulated corpora whose truth is known.

    python -m benchmarks.review_coverage [--corpora 1000] [--out benchmarks/results/review_coverage.json]

Each corpus has 600 to 60,000 boxes, scores of a random beta distribution, and a random curve of how likely a box of a
score is right, another one for rare phrases; 150 or 400 boxes are drawn and judged. Its phrases have 0 to 3 things,
some of which are found; 60 or 200 phrases are drawn. An interval is counted as a hit where it holds the share of the
whole corpus. Beside the intervals of `stages/review/estimate.py`: Wald's (share +- 1.96 standard errors) and a
percentile bootstrap within the strata, for the same draws; and Wilson's for draws whose strata get shares by another
power of their size, of the same corpora.
"""

from __future__ import annotations

import argparse
import datetime
from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.record import processor_name, publish
from stages.intervals import Z
from stages.review.draw import POWER, allocate
from stages.review.estimate import Estimate, Stratum, ratio, share
from stages.review.population import BANDS

THRESHOLDS = (0.1, 0.3, 0.5, 0.55, 0.7, 0.77, 0.9)
FEWEST = 30  # boxes above a threshold for it to count
RESAMPLES = 200
DRAWS = {"wilson": POWER, "wilson, strata by the fourth root": 0.25, "wilson, strata by the square root": 0.5}
Floats = NDArray[np.float64]
Interval = tuple[float, float]


class Corpus(NamedTuple):
    score: Floats  # (N,)
    rare: NDArray[np.bool_]  # (N,)
    right: Floats  # (N,) in 0/1
    things: Floats  # (M,) of each phrase
    found: Floats  # (M,) of these
    rare_phrase: NDArray[np.bool_]  # (M,)


def make_corpus(rng: np.random.Generator) -> Corpus:
    number = int(rng.choice([600, 3_000, 20_000, 60_000]))
    score = 0.1 + 0.9 * rng.beta(rng.uniform(0.8, 3), rng.uniform(1, 4), number)
    rare = rng.random(number) < 0.5
    slope, middle, harder, top = rng.uniform(3, 12), rng.uniform(0.1, 0.6), rng.uniform(0, 1.5), rng.uniform(0.85, 1)
    likely = top / (1 + np.exp(-(slope * (score - middle) - harder * rare)))
    things = rng.choice([0, 1, 1, 1, 2, 3], number).astype(np.float64)
    rare_phrase = rng.random(number) < 0.5
    found = rng.binomial(things.astype(np.int64), np.clip(rng.uniform(0.3, 0.98) - 0.15 * rare_phrase, 0, 1))
    right = (rng.random(number) < likely).astype(np.float64)
    return Corpus(score, rare, right, things, found.astype(np.float64), rare_phrase)


def draw_from(strata: NDArray[np.int64], most: int, rng: np.random.Generator, power: float) -> NDArray[np.bool_]:
    """Which units (N,) are judged: so many in all, as `phrasebox review` spreads them over strata (N,)."""
    judged = np.zeros(len(strata), np.bool_)
    sizes = np.bincount(strata)
    for stratum, number in enumerate(allocate(sizes.tolist(), most, power).tolist()):
        judged[rng.permutation(np.flatnonzero(strata == stratum))[:number]] = True
    return judged


def measure(corpora: int, seed: int = 0) -> dict[str, Any]:
    """{method: {where: {"coverage", "width", "intervals"}}}."""
    hits: defaultdict[tuple[str, str], list[tuple[bool, float]]] = defaultdict(list)
    rng = np.random.default_rng(seed)
    for _ in range(corpora):
        corpus = make_corpus(rng)
        for method, where, truth, (low, high) in intervals(corpus, rng):
            found = low - 1e-9 <= truth <= high + 1e-9, high - low
            for name in {where, where.partition(" ")[0]}:  # at each threshold, and over all of them
                hits[method, name].append(found)
    table: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for (method, where), rows in sorted(hits.items()):
        held, width = np.array(rows, float).mean(axis=0).tolist()
        table[method][where] = {"coverage": round(held, 4), "width": round(width, 4), "intervals": len(rows)}
    return dict(table)


def intervals(corpus: Corpus, rng: np.random.Generator) -> Iterator[tuple[str, str, float, Interval]]:
    """(method, where, truth, interval) of one draw from a corpus."""
    strata = np.searchsorted(BANDS, corpus.score, side="left") - 1 + len(BANDS) * corpus.rare
    most = int(rng.choice([150, 400]))
    for name, power in DRAWS.items():
        judged = draw_from(strata, most, rng, power)
        for threshold in THRESHOLDS:
            above = corpus.score > threshold
            if above.sum() < FEWEST or (ours := share(cells := cells_of(corpus, strata, above, judged))) is None:
                continue
            truth, where = float(corpus.right[above].mean()), f"precision above {threshold:g}"
            yield name, where, truth, (ours.low, ours.high)
            if power == POWER:
                yield "wald", where, truth, wald(ours, cells)
                yield "bootstrap", where, truth, bootstrap(cells, rng)
    phrases = draw_from(corpus.rare_phrase.astype(np.int64), int(rng.choice([60, 200])), rng, POWER)
    units = []
    for rare in (False, True):
        mine = corpus.rare_phrase == rare
        shown = mine & phrases
        units.append((int(mine.sum()), list(zip(corpus.found[shown].tolist(), corpus.things[shown].tolist()))))
    if (recall := ratio(units)) is not None:
        yield "wilson", "recall", float(corpus.found.sum() / corpus.things.sum()), (recall.low, recall.high)


def cells_of(
    corpus: Corpus, strata: NDArray[np.int64], above: NDArray[np.bool_], judged: NDArray[np.bool_]
) -> list[Stratum]:
    """The strata of the boxes above a threshold, with the judgements of those that are judged; (N,) each."""
    parts = [above & (strata == stratum) for stratum in range(2 * len(BANDS))]
    return [Stratum(int(mine.sum()), corpus.right[mine & judged].tolist()) for mine in parts if mine.any()]


def wald(found: Estimate, strata: Sequence[Stratum]) -> Interval:
    used = [stratum for stratum in strata if stratum.judgements]
    total = sum(stratum.size for stratum in used)
    variance = 0.0
    for stratum in used:
        number, p = len(stratum.judgements), float(np.mean(stratum.judgements))
        variance += (stratum.size / total) ** 2 * (1 - number / stratum.size) * p * (1 - p) / max(number - 1, 1)
    return found.share - Z * variance**0.5, found.share + Z * variance**0.5


def bootstrap(strata: Sequence[Stratum], rng: np.random.Generator) -> Interval:
    """The percentiles of the share over resamples of each stratum."""
    used = [stratum for stratum in strata if stratum.judgements]
    total = sum(stratum.size for stratum in used)
    shares = np.zeros(RESAMPLES)
    for stratum in used:
        drawn = rng.choice(stratum.judgements, (RESAMPLES, len(stratum.judgements)))
        shares += stratum.size / total * drawn.mean(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5]).tolist()
    return low, high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    result = {
        "what": "how often 95% intervals of precision and recall hold the truth of simulated corpora, and their widths",
        "command": f"python -m benchmarks.review_coverage --corpora {options.corpora}",
        "corpora": options.corpora,
        "methods": measure(options.corpora),
        "processor": processor_name(),
        "versions": {"numpy": version("numpy")},
        "date": datetime.date.today().isoformat(),
    }
    publish(result, options.out)


if __name__ == "__main__":
    main()
