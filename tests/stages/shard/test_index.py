"""The list of a run's shards, as readers take it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from stages.shard.index import read_index


def test_shards_without_samples_are_left_out() -> None:
    shards = [{"file": f"000000{n}-000.tar", "samples": samples, "size": 10} for n, samples in enumerate((3, 0, 1))]
    stream = io.BytesIO(json.dumps({"shards": shards, "samples": 4}).encode())
    assert read_index(stream) == [("0000000-000.tar", 3), ("0000002-000.tar", 1)]


@pytest.mark.parametrize(
    "data",
    [[], {}, {"shards": 7}, {"shards": [7]}, {"shards": [{"samples": 1}]}, {"shards": [{"file": "a", "samples": "x"}]}],
)
def test_another_file_is_an_error(data: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_index(io.BytesIO(json.dumps(data).encode()))
