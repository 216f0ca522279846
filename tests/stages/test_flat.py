"""A part's phrases and boxes as flat columns: rows with gaps line up, and every box knows its phrase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from schemas.records import schema_of
from schemas.tables import GoldTable, LabelTable, PhraseTable
from stages.flat import FlatBoxes, FlatGold, FlatPhrases


def test_phrases_and_boxes_of_rows_with_gaps_line_up(shapes: Any) -> None:
    run = shapes(part_size=40).fill(40)
    phrases = FlatPhrases.of(PhraseTable.read(run.part(0)))
    boxes = FlatBoxes.of(LabelTable.read(run.part(0)), phrases)
    rows = {row["key"]: row["phrases"] for row in run.rows["phrases"]}
    assert len(rows) < 40  # rejects leave gaps
    assert phrases.norm.to_pylist() == [phrase["norm"] for row in rows.values() for phrase in row]
    expected = [
        (row["key"], rows[row["key"]][box["phrase"]]["norm"], box["score"], row["width"])
        for row in run.rows["labels"]
        for box in row["boxes"]
    ]
    columns = zip(boxes.row, boxes.phrase, boxes.score, boxes.width, strict=True)
    found = [(f"{row:012d}", phrases.norm[i].as_py(), score, width) for row, i, score, width in columns]
    assert [(key, norm, width) for key, norm, _, width in found] == [(k, n, w) for k, n, _, w in expected]
    assert np.allclose([score for *_, score, _ in found], [score for *_, score, _ in expected])


def test_true_boxes_know_their_spans() -> None:
    """-1: none; as many as there are spans: one that its row does not have."""
    corners = {"x1": 1.0, "y1": 1.0, "x2": 9.0, "y2": 9.0}
    spans = [[{"start": 0, "end": 5}], [], [{"start": 2, "end": 4}, {"start": 7, "end": 9}]]
    owned = [[(0, "Dog"), (-1, None)], [(0, "cat")], [(1, "TREE"), (2, "")]]
    rows = [
        {
            "key": f"{7 * i:012d}",
            "spans": spans[i],
            "boxes": [{"span": s, **corners, "category": c} for s, c in owned[i]],
        }
        for i in range(3)
    ]
    gold = FlatGold.of(GoldTable(pa.Table.from_pylist(rows, schema=schema_of("gold"))))
    assert gold.rows.tolist() == [0, 7, 14] and gold.row.tolist() == [0, 0, 7, 14, 14]
    assert gold.span.tolist() == [0, -1, 3, 2, 3]
    assert gold.category.to_pylist() == ["dog", "", "cat", "tree", ""]
    assert gold.spans.row.tolist() == [0, 14, 14] and gold.spans.start.tolist() == [0, 2, 7]


def test_a_box_of_a_phrase_that_is_not_there_is_named(shapes: Any) -> None:
    run = shapes().fill(5)
    bad = [{**run.rows["labels"][0], "boxes": [{"phrase": 99, "x1": 0, "y1": 0, "x2": 9, "y2": 9, "score": 0.7}]}]
    run.write("labels", 0, bad)
    with pytest.raises(ValueError, match=r"labels, key 000000000001: phrase 99 of a caption with \d"):
        run.audit()
