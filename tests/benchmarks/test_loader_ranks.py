"""The simulated loader of several ranks, in cases that are plain by hand."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.loader_ranks import COCO, locked_share, record, simulate, step_seconds


def wait(threads: int, cores: int = 100, step: float = 1.0, locked: float = 0.0, ranks: int = 8) -> float:
    """Of ranks with two images of half a second each in a step."""
    return simulate([0.5], step, ranks, cores, threads, 2, locked, steps=40)


def test_a_rank_waits_for_what_its_threads_cannot_make_in_time() -> None:
    assert wait(1, step=2.0) == pytest.approx(0.0, abs=1e-6)
    assert wait(1, step=0.5) == pytest.approx(0.5, abs=0.02)  # a second of work for each half second
    assert wait(2, step=0.5) == pytest.approx(0.0, abs=0.02)
    assert wait(2, step=0.25) == pytest.approx(0.5, abs=0.02)


def test_cores_are_shared_by_all_ranks() -> None:
    assert wait(8, cores=4, step=1.0) == pytest.approx(0.5, abs=0.02)  # eight seconds of work for four cores
    assert wait(8, cores=8, step=1.0) == pytest.approx(0.0, abs=0.05)


def test_what_holds_the_lock_is_done_by_one_thread_at_a_time() -> None:
    """Half of the work: however many threads, a share takes at least half a second."""
    assert 0.5 <= wait(16, step=0.25, locked=0.5) < 0.65
    assert wait(16, step=0.25, locked=0.0) == pytest.approx(0.0, abs=0.02)


def test_the_lock_is_that_of_the_second_threads_gain(tmp_path: Path) -> None:
    file = tmp_path / "loaders.json"
    for gain, share in ((2.0, 0.0), (1.0, 1.0), (1.6, 0.25)):
        file.write_text(json.dumps({"threads": {"2": {"ratio": gain}}}))
        assert locked_share(file) == pytest.approx(share)


def test_a_step_takes_what_its_flops_take() -> None:
    """GLIP-T at 64 tokens: 613.6 GFLOP, times four with what is computed again; an H100 does 989 TFLOP/s."""
    assert step_seconds(8, 0.5) == pytest.approx(8 * 613.641e9 * 4 / (0.5 * 989e12), rel=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not COCO.is_dir(), reason="no ../shared/data/coco-mini")
def test_the_record_has_a_wait_for_each_case() -> None:
    found = record(Namespace(ranks=2, cores=[4], threads=[1, 2], mfu=0.3, samples=3))
    waits = found["data_wait_share"]["4"]
    assert list(waits) == ["1", "2"] and 0 <= waits["2"] <= waits["1"] + 0.01 < 1.01
    rate, demand = found["samples_per_second_and_core"], found["samples_per_second_of_a_gpu"]
    assert rate > 0 and found["decode_and_resize_ms"] > 0
    assert found["threads_will_do"] == (rate > demand * found["locked_share"])
    assert found["cores_kept_busy"] == pytest.approx(2 * demand / rate, rel=0.05)
