"""GRIT rows are read back by a small reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from schemas.rows import Span
from schemas.tables import PhraseTable
from stages.export.formats import export
from tests.stages.export.creating import creates
from tests.stages.export.exported import Exported, captions, same, truth
from tests.stages.export.hostile_run import hostile_run


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


def test_expressions_have_the_boxes_of_their_phrases(tmp_path: Path) -> None:
    """Of the two phrases with boxes, one lies in the other's expression; "snow" has no box, so that nothing of it
    counts."""
    run = hostile_run(tmp_path / "run")
    grown = {"a dog in a field": [(0, 16), (9, 16)], "a dog near two cats": [(0, 19), (11, 19)]}
    rows = run.rows["phrases"]
    table = PhraseTable.read_part(run.all_parts(), 0)
    spans = [
        [Span(*span) for span in grown.get(row["caption"], [(p["start"], p["end"]) for p in row["phrases"]])]
        for row in rows
    ]
    (run.root / "phrases/part-0000000.parquet").unlink()
    files = run.part(0)
    files.write("phrases", table.with_expressions(spans).table)
    files.publish()
    export(run.all_parts(), "grit", creates(tmp_path / "out"), config=run.config, images=False)
    found = {row["caption"]: row for row in pq.read_table(tmp_path / "out/grit-00000.parquet").to_pylist()}
    dog, _ = found["a dog in a field"]["noun_chunks"]
    assert found["a dog in a field"]["ref_exps"] == [[0.0, 16.0, *dog[2:]]]
    near = found["a dog near two cats"]
    assert [chunk[:2] for chunk in near["noun_chunks"]] == [[0, 5], [11, 19], [11, 19]]
    assert near["ref_exps"] == [[0.0, 19.0, *near["noun_chunks"][0][2:]]]
    others = [row for caption, row in found.items() if caption not in grown]
    assert len(others) == 5
    for row in others:
        assert row["ref_exps"] == row["noun_chunks"]
