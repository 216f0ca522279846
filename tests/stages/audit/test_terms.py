"""Counting distinct texts: exact up to the limit, an even sample and the heaviest texts beyond it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from stages.audit import terms
from stages.audit.terms import Merger
from stages.hashes import hash_texts


def part_table(texts: list[str], boxes: Counter[str]) -> pa.Table:
    """A summary's table of a part in which each text is seen as often as it is listed."""
    seen = Counter(texts)
    rows = sorted(zip(hash_texts(seen).tolist(), seen))
    names = [text for _, text in rows]
    counts = [seen[text] for text in names]
    return pa.table(
        {
            "hash": pa.array([h for h, _ in rows], pa.uint64()),
            "text": names,
            **dict.fromkeys(("seen", "asked", "grounded", "several"), counts),
            "boxes": [boxes[text] * seen[text] for text in names],
            "best": pa.array([min(seen[text], 101) for text in names], pa.uint8()),
            "row": pa.array([texts.index(text) for text in names], pa.int32()),
            "kept_row": pa.array([texts.index(text) if boxes[text] else -1 for text in names], pa.int32()),
        }
    )


@pytest.fixture(scope="module")
def corpus() -> tuple[list[list[str]], Counter[str]]:
    """Parts of texts with a long tail, and how many boxes each text has per occurrence."""
    rng = np.random.default_rng(5)
    parts = [[f"text {int(n)}" for n in np.exp(rng.random(1500) * np.log(30_000))] for _ in range(12)]
    boxes = Counter({text: int(text[5:]) % 3 for part in parts for text in part})
    return parts, boxes


def merged(parts: list[list[str]], boxes: Counter[str], limit: int) -> terms.Totals:
    merger = Merger(limit)
    for number, part in enumerate(parts):
        merger.add(number, part_table(part, boxes))
    return merger.result()


def test_exact_up_to_the_limit(corpus: tuple[list[list[str]], Counter[str]]) -> None:
    parts, boxes = corpus
    seen = Counter(text for part in parts for text in part)
    totals = merged(parts, boxes, limit=len(seen))
    assert totals.exact and totals.undercount == 0 and totals.relative_error() == 0
    names = totals.texts(np.arange(len(totals.columns["hash"])))
    assert dict(zip(names, totals.columns["seen"].tolist())) == seen
    assert dict(zip(names, totals.columns["boxes"].tolist())) == {text: seen[text] * boxes[text] for text in seen}
    best = {text: max(min(part.count(text), 101) for part in parts) for text in list(seen)[:50]}
    where = {name: i for i, name in enumerate(names)}
    for text, value in best.items():
        assert totals.columns["best"][where[text]] == value
        first = next(i * 100_000 + part.index(text) for i, part in enumerate(parts) if text in part)
        assert totals.columns["key"][where[text]] == first
        assert totals.columns["kept_key"][where[text]] == (first if boxes[text] else terms.NEVER)
    assert totals.distinct(totals.columns["boxes"] > 0) == sum(boxes[text] > 0 for text in seen)


@pytest.mark.parametrize("limit", [500, 1000])
def test_beyond_it_a_sample_with_exact_counts(corpus: tuple[list[list[str]], Counter[str]], limit: int) -> None:
    parts, boxes = corpus
    seen = Counter(text for part in parts for text in part)
    totals = merged(parts, boxes, limit)
    assert not totals.exact and totals.sampled.sum() == limit
    smallest = sorted(zip(hash_texts(seen).tolist(), seen))[:limit]
    inside = np.flatnonzero(totals.sampled)
    assert totals.texts(inside) == [text for _, text in smallest]  # whatever the order of the parts
    assert totals.columns["seen"][inside].tolist() == [seen[text] for _, text in smallest]
    assert abs(totals.distinct() / len(seen) - 1) < 4 / limit**0.5
    kept = totals.columns["boxes"] > 0
    truth = sum(boxes[text] > 0 for text in seen)
    assert abs(totals.distinct(kept) / truth - 1) < 4 * totals.relative_error(kept)
    assert 0 < totals.relative_error() <= 1 / limit**0.5


def test_the_heaviest_texts_are_known_to_within_the_bound(corpus: tuple[list[list[str]], Counter[str]]) -> None:
    parts, boxes = corpus
    seen = Counter(text for part in parts for text in part)
    totals = merged(parts, boxes, limit=800)
    names = totals.texts(np.arange(len(totals.columns["hash"])))
    counted = dict(zip(names, totals.columns["seen"].tolist()))
    for text, count in counted.items():
        assert count <= seen[text] <= count + totals.undercount
    assert all(text in counted for text, count in seen.items() if max(count, count * boxes[text]) > totals.undercount)
    assert totals.undercount < 0.01 * sum(seen.values())


def test_what_is_to_be_kept_is_exact_at_any_size(corpus: tuple[list[list[str]], Counter[str]]) -> None:
    parts, boxes = corpus
    seen = Counter(text for part in parts for text in part)
    rare = [text for text, count in seen.items() if count == 2][:50]
    merger = Merger(200, hash_texts(rare))
    for number, part in enumerate(parts):
        merger.add(number, part_table(part, boxes))
    totals = merger.result()
    names = totals.texts(np.arange(len(totals.columns["hash"])))
    counted = dict(zip(names, totals.columns["seen"].tolist()))
    assert {text: counted[text] for text in rare} == dict.fromkeys(rare, 2)


def test_estimates_are_unbiased_over_many_corpora() -> None:
    errors = []
    for seed in range(40):
        texts = [f"{seed} {i}" for i in range(3000)]
        totals = merged([texts[:1500], texts[1500:]], Counter(), limit=300)
        errors.append(totals.distinct() / 3000 - 1)
    assert abs(np.mean(errors)) < 3 * (1 / 300**0.5) / 40**0.5
    assert np.std(errors) < 1.5 / 300**0.5
