"""benchmarks/curate.py judges decisions by what was planted, and knows how evenly keys are spread."""

from __future__ import annotations

import numpy as np

from benchmarks.curate import PART, judged, keys
from benchmarks.curate_corpus import EXACT, KINDS, Bank, Corpus
from stages.curate.candidates import TABLES
from stages.curate.signature import BYTES, THUMB, VIEWS


def test_recall_and_precision_of_what_was_planted() -> None:
    kinds = len(KINDS)
    corpus = Corpus(Bank(np.zeros((3, kinds, len(VIEWS), 96), np.int16), np.zeros((3, kinds, THUMB, THUMB), np.int16)))
    numbers = np.arange(2 * PART)
    kind, sources = corpus.kinds(numbers), corpus.sources(numbers)
    instead = np.where(kind > 0, sources, -1)
    perfect = judged(corpus, {0: instead[:PART], 1: instead[PART:]})
    assert (perfect["recall_of_altered"], perfect["precision"], perfect["wrong"]) == (1.0, 1.0, 0)
    assert perfect["planted"] == perfect["found"] == (kind > 0).sum()
    missed = np.flatnonzero(kind == 1)[:10]
    instead[missed] = -1
    wrong = np.flatnonzero(kind == 0)[1:6]
    instead[wrong] = 0
    found = judged(corpus, {0: instead[:PART], 1: instead[PART:]})
    assert found["recall"]["half the size"] == round(1 - 10 / (kind == 1).sum(), 5) < 1
    assert found["recall"]["same bytes"] == 1.0 and found["wrong"] == 5 and found["first_wrong"][0] == [wrong[0], 0]
    altered = ((kind > 0) & (kind < EXACT)).sum()
    assert found["recall_of_altered"] == round(1 - 10 / altered, 5)


def test_how_evenly_keys_are_spread() -> None:
    bits = np.random.default_rng(0).integers(0, 256, (500, len(VIEWS), BYTES), np.uint8)
    bits[100:105] = bits[7]
    found = keys(bits)
    assert found["images"] == 500 and found["largest_bucket"] == 6
    pairs = len(VIEWS) * 15  # of six images in each view's bucket
    uniform = (500 * len(VIEWS)) ** 2 / 2 / 2**32
    assert found["pairs_by_table_over_uniform"] == [round(pairs / uniform, 2)] * len(TABLES)
