"""benchmarks/gold_memory.py counts all boxes that it writes, and its record keeps the limit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gold_memory import RANKS, SETS, grown, measure, write_file
from benchmarks.record import ROOT
from pipeline.storage.files import SourceFiles
from pipeline.storage.local import LocalStorage

RECORDED = ROOT / "benchmarks" / "results" / "gold_memory.json"


@pytest.mark.parametrize("format", SETS)
def test_every_box_of_its_file_is_a_box_of_the_set(tmp_path: Path, format: str) -> None:
    write_file(tmp_path / "gold.json", 1000)
    gold = SETS[format](SourceFiles(LocalStorage(str(tmp_path))), "gold.json", "images")
    assert sum(len(gold.boxes(index)) for index in range(len(gold))) == 1000 and not gold.unused.total()


@pytest.mark.slow
def test_another_rank_keeps_no_box_of_its_own() -> None:
    ranks = measure(20_000, "coco")
    assert ranks.keys() == set(RANKS) and grown(ranks["other"]) > 20_000 * 36  # the columns are really read
    assert ranks["other"]["private"] < 20_000 * 64


@pytest.mark.parametrize("format", SETS)
def test_recorded_figures_are_below_the_limit(format: str) -> None:
    record = json.loads(RECORDED.read_text())
    figures = record["bytes_per_box"][format]
    largest = figures[max((size for size in figures if size != "more"), key=int)]
    assert record["limit"] == 64
    for rank in RANKS:
        assert 36 < largest[rank]["private"] + largest[rank]["shared"] <= 64 >= figures["more"][rank]
