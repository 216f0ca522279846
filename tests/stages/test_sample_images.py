"""What is shown of single pairs, beside the rows that were written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stages.sample_images import read_samples


def test_everything_that_the_run_knows_of_a_pair(shapes: Callable[..., Any]) -> None:
    run = shapes(part_size=40).fill(60)
    rows = {dataset: {row["key"]: row for row in run.rows[dataset]} for dataset in run.rows}
    keys = [key for key in rows["pairs"] if key.startswith("0000000")]
    found = read_samples(run.all_parts(), 0, [keys[3], keys[1], "000000099999"])
    assert [sample.key for sample in found] == [keys[1], keys[3]]
    for sample in found:
        label, pseudo = rows["labels"][sample.key], rows["pseudo"][sample.key]
        out = {entry["box"]: entry["reason"] for entry in pseudo["dropped"]}
        expected = [(out.get(i, ""), -box["score"], box["phrase"]) for i, box in enumerate(label["boxes"])]
        shown = [(box.reason, -box.score, box.phrase) for box in sample.boxes]
        assert [entry[0] for entry in shown] == sorted((reason for reason, *_ in expected), key=bool)
        scores = sorted(score for _, score, _ in expected)
        assert sorted(score for _, score, _ in shown) == pytest.approx(scores, abs=5e-5)
        assert [phrase.text for phrase in sample.phrases] == [p["text"] for p in rows["phrases"][sample.key]["phrases"]]
        assert len(sample.gold) == len(rows["gold"][sample.key]["boxes"])
        assert sample.ungrounded == {entry["phrase"]: entry["reason"] for entry in label["dropped"]}


def test_what_a_run_does_not_have_yet_is_empty(shapes: Callable[..., Any]) -> None:
    run = shapes().fill(5, until="pairs", gold=False)
    (sample, *_) = read_samples(run.all_parts(), 0, [run.rows["pairs"][0]["key"]])
    assert sample.phrases == sample.boxes == sample.gold == () and sample.pair.caption


def test_kept_boxes_have_their_masks(shapes: Callable[..., Any]) -> None:
    """Masks are aligned with pseudo; what is shown are the boxes of labels, kept ones first."""
    run = shapes(part_size=40).fill(40).mask()
    of_row = {row["key"]: row["masks"] for row in run.rows["masks"]}
    samples = read_samples(run.all_parts(), 0, list(of_row))
    counted = 0
    for sample in samples:
        kept = [box for box in sample.boxes if not box.reason]
        assert all(box.mask is None for box in sample.boxes[len(kept) :])
        assert sorted(box.mask.counts for box in kept if box.mask) == sorted(m["counts"] for m in of_row[sample.key])
        counted += len(kept)
    assert counted == len(run.masks) > 20
