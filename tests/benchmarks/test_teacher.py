"""The teacher's benchmark counts right and runs; how fast anything is, is not tested."""

from __future__ import annotations

import mmap
import os

import pytest

from benchmarks.record import without_out
from benchmarks.teacher import best, measured, ratios, with_fractions
from benchmarks.teacher_flops import count, estimate
from benchmarks.teacher_measure import Case, forget_peak, resident


@pytest.mark.slow
def test_operations_agree_with_the_official_table() -> None:
    """GFLOP at 800x1344 and 256 tokens, as TRAINING_FACTS.md has them; it leaves out the bilinear samples."""
    found = count("glip-t", 800, 1344, 256, plain=True)
    official = {"visual body": 198, "pyramid": 29, "language": 46, "fusion": 860, "fusion's BERT layers": 23}
    assert {part: round(found[part]) for part in official} == official
    positions = sum(-(-800 // s) * -(-1344 // s) for s in (8, 16, 32, 64, 128))
    strided = sum(-(-800 // s) * -(-1344 // s) for s in (16, 32, 64, 128))  # levels below and above: P4..P7 each
    samples = 6 * (positions + 2 * strided) * 9 * 256 * 4 * 2 / 1e9
    assert found["dynamic head"] - samples == pytest.approx(255, abs=1)
    assert found["total"] - samples == pytest.approx(1415, abs=2)


@pytest.mark.slow
def test_estimates_lie_near_counts() -> None:
    for height, width, tokens in ((192, 256, 40), (256, 192, 100)):
        expected = count("glip-nano", height, width, tokens)["total"]
        assert estimate("glip-nano", height, width, tokens) == pytest.approx(expected, rel=0.02)


@pytest.mark.slow
def test_a_row_is_measured_in_a_process_of_its_own() -> None:
    (row,) = with_fractions([measured(Case("glip-nano", "cpu", "fp32", batch_size=2, count=4, warm_up=2))])
    assert "failed" not in row, row
    assert row["images_per_second"] > 0 and 0 < row["share_of_time_outside_the_model"] < 1
    assert 0.5 < row["gflop_per_image"] < 2 and row["peak_memory_mib"] > 100 and 0 < row["fraction_of_peak"] < 1
    assert 1 <= row["images_per_batch"] <= 2
    broken = measured(Case("glip-nano", "nowhere", "fp32", batch_size=2, count=4, warm_up=2))
    assert "nowhere" in broken["failed"]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system counts no peak anew")
def test_memory_is_counted_from_the_warm_up_on() -> None:
    block = mmap.mmap(-1, 300 << 20)  # the system's own, so that closing it gives the memory back
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
    with_block = resident()
    block.close()
    assert resident() > with_block - 50  # a peak stays
    forget_peak()
    assert resident() < with_block - 250


def test_the_highest_peak_of_equal_rows_counts() -> None:
    """Each row measured its own, beside whatever else the machine did."""

    def row(rate: float, peak: float, **other: object) -> dict[str, object]:
        same = {"device": "cpu", "precision": "fp32", "threads": 1}
        return {**same, **other, "tflop_per_second": rate, "peak_tflop_per_second": peak}

    failed = {"device": "cpu", "precision": "fp32", "threads": 1, "failed": "out of memory"}
    rows = [row(0.05, 0.08), failed, row(0.02, 0.1), row(0.06, 0.2, threads=2), row(0.01, 0.04, precision="bf16")]
    found = with_fractions(rows)
    assert [one.get("fraction_of_peak") for one in found] == [0.5, None, 0.2, 0.3, 0.25]
    assert [one.get("peak_tflop_per_second") for one in found] == [0.1, None, 0.1, 0.2, 0.04]


def test_ratios_compare_the_best_rows() -> None:
    rows = [
        {"model": "glip-t", "device": "cpu", "images_per_second": 2.0},
        {"model": "glip-t", "device": "cpu", "images_per_second": 3.0},
        {"model": "glip-t", "device": "cuda", "images_per_second": 9.0},
        {"model": "grounding-dino-t", "device": "cpu", "images_per_second": 1.5},
        {"model": "glip-t-plain", "device": "cpu", "failed": "out of memory"},
    ]
    assert best(rows, "glip-t", "cpu") == 3.0
    assert ratios(rows, "cpu") == {"glip-t / grounding-dino-t": 2.0, "glip-t / glip-t-plain": None}
    assert without_out(["--count", "3", "--out", "x.json", "--compile"]) == ["--count", "3", "--compile"]
