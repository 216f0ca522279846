"""The summary of a part."""

from __future__ import annotations

from typing import Any

from tests.stages.audit.audited import stats_of


def test_repeats(shapes: Any) -> None:
    run = shapes(part_size=40).fill(80, until="pairs", gold=False)
    part = run.rows["pairs"][:10]
    twice = [{**row, "key": f"0000002{i:05d}"} for i, row in enumerate(part)]
    run.write("pairs", 2, twice)
    run.audit()
    repeats = stats_of(run)["duplicates"]
    rows = run.rows["pairs"]
    captions, with_image = {row["caption"] for row in rows}, [row for row in rows if row["image"]]
    both = {(row["caption"], row["sha256"]) for row in with_image}
    assert repeats["captions"]["repeats"] == len(rows) - len(captions)
    assert repeats["images"]["repeats"] == len(with_image) - len({row["sha256"] for row in with_image}) > 0
    assert repeats["image_captions"]["repeats"] == len(with_image) - len(both) == len([r for r in part if r["image"]])
