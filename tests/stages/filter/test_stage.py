"""The filter's stage: rows of labels, joined with the captions of their pairs."""

from __future__ import annotations

import pyarrow as pa

from schemas.records import PAIRS
from stages.filter.stage import FilterStage
from tests.stages.conftest import Run
from tests.stages.filter.test_rules import dropped, labels_table


def test_a_part_is_joined_by_key_and_counted(run: Run) -> None:
    io = run.io()
    labels = labels_table([(100, 100, [(0, 0, 0, 50, 50, 0.9)])] * 3).slice(1)  # label rejected the first pair
    captions = ["", "a dog", ""]
    pairs = [{"key": f"{row:012d}", "caption": caption} for row, caption in enumerate(captions)]
    io.write("pairs", pa.Table.from_pylist(pairs, schema=PAIRS))
    io.write("labels", labels)
    counts = FilterStage(run.config()).run_part(io).counts
    assert (counts.in_, counts.out, counts.rejected) == (2, 2, 0)
    assert [len(row["boxes"]) for row in run.rows("pseudo")] == [1, 0]
    assert dropped(run.rows("pseudo")[1]) == {0: "caption_length"}
    assert run.rows("rejects/filter") == []
