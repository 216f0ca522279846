"""The benchmark of the loader's threads: every number of threads is measured, on batches of the gold set."""

from __future__ import annotations

import pytest

from benchmarks.loaders import COCO, measure


@pytest.mark.slow
@pytest.mark.skipif(not COCO.is_dir(), reason="no ../shared/data/coco-mini")
def test_each_number_of_threads_has_its_rates() -> None:
    found = measure([2, 1], turns=1, batches=1)
    assert list(found) == ["2", "1"] and found["2"]["ratio"] == 1.0
    assert all(len(own["samples_per_second"]) == 1 and own["median"] > 0 for own in found.values()) and found
