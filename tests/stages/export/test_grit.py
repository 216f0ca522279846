"""GRIT rows are read back by a small reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq

from tests.stages.export.exported import Exported, captions, same, truth


def test_grit_is_normalised_and_in_its_own_types(exported: Callable[..., Exported], run: Any) -> None:
    export = exported("grit", images=False)
    table = pq.read_table(export.path("grit-00000.parquet"))
    types = {field.name: str(field.type) for field in table.schema}
    assert types["noun_chunks"] == types["ref_exps"] == "list<element: list<element: double>>"
    assert list(types) == [
        "key",
        "clip_similarity_vitb32",
        "clip_similarity_vitl14",
        "id",
        "url",
        "caption",
        "width",
        "height",
        "noun_chunks",
        "ref_exps",
    ]
    found = []
    for row in table.to_pylist():
        assert row["caption"] == captions(run)[row["key"]] and row["ref_exps"] == row["noun_chunks"]
        for start, end, x1, y1, x2, y2, score in row["noun_chunks"]:
            assert 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 and start == int(start)
            w, h = row["width"], row["height"]
            found.append((row["key"], int(start), int(end), x1 * w, y1 * h, x2 * w, y2 * h, score))
    same(found, truth(run))
    assert export.result["files"] == 1 and not export.path("images").exists()
