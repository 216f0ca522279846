"""Pairs drawn from a run: how many, which, and how often two of them come together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.storage.files import PartFiles, RunFiles
from pipeline.storage.local import LocalStorage
from schemas.records import PAIRS, make_key
from stages.curate.sample import SamplePart, SampleRun, draw
from tests.stages.audit_run import no_beat


def run_of(folder: Path, sizes: list[int], captions: int = 1) -> RunFiles:
    """Parts of these sizes; each image of a part has so many captions in a row."""
    storage = LocalStorage(str(folder))
    for part, size in enumerate(sizes):
        digests = [f"{part:032x}{row // captions:032x}" for row in range(size)]
        rows = [
            {"key": make_key(part, row), "source_id": str(row), "caption": "a dog", "orientation": 1, "sha256": digest}
            for row, digest in enumerate(digests)
        ]
        files = PartFiles(storage, part, None, f"test-{part}", no_beat, {})
        files.write("pairs", pa.Table.from_pylist(rows, schema=PAIRS))
        files.publish()
    return RunFiles(storage, list(range(len(sizes))), "test", no_beat)


def test_so_many_pairs_in_the_order_of_keys(tmp_path: Path) -> None:
    run = run_of(tmp_path, [7, 0, 100, 30])
    sample = draw(run, 50)
    assert sample is not None
    keys = sample.pairs["key"].to_pylist()
    assert len(set(keys)) == 50 and keys == sorted(keys) and sample.population == 137
    again, other = draw(run, 50), draw(run, 50, seed=1)
    assert again is not None and other is not None
    assert again.pairs.equals(sample.pairs) and other.pairs["key"].to_pylist() != keys


def test_a_small_run_is_drawn_whole(tmp_path: Path) -> None:
    sample = draw(run_of(tmp_path, [3, 4]), 50)
    assert sample is not None and len(sample.pairs) == sample.population == 7 and sample.images == 7
    assert draw(run_of(tmp_path / "empty", [0, 0]), 50) is None


def test_images_of_several_captions_count_once(tmp_path: Path) -> None:
    sample = draw(run_of(tmp_path, [50, 50], captions=5), 40)
    assert sample is not None and sample.images == 20


def test_neighbours_are_drawn_together_as_often_as_any_two(tmp_path: Path) -> None:
    """5 of 20 pairs hold any two with the probability 5 * 4 / (20 * 19)."""
    run = run_of(tmp_path, [20])
    together = []
    for seed in range(400):
        sample = draw(run, 5, seed)
        assert sample is not None
        rows = [int(key[7:]) for key in sample.pairs["key"].to_pylist()]
        together.append(sum(row % 2 == 0 and row + 1 in rows for row in rows))
    assert np.mean(together) == pytest.approx(10 * 20 / 380, abs=0.1)


def test_what_is_written_stays_in_memory(tmp_path: Path) -> None:
    run = run_of(tmp_path, [3])
    before = sorted(tmp_path.rglob("*"))
    table = pa.table({"key": ["a"], "more": [1]})
    part = SamplePart(run, pairs=table)
    part.write("summaries/curate", table)
    assert part.has("pairs") and not part.has("gold") and part.read("pairs", ["more"]).column_names == ["more"]
    whole = SampleRun(run, **part.tables)
    whole.write_part("curation", 0, table)
    with whole.create("summaries/clusters/centres.parquet") as file:
        file.write(b"centres")
    assert whole.parts() == [0] and whole.has_part("curation", 0) and whole.files("summaries/clusters") == []
    assert whole.read_part("summaries/curate", 0).equals(table) and sorted(tmp_path.rglob("*")) == before
