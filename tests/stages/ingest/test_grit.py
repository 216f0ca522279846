"""GRIT's boxes become true boxes, from Parquet and from text."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.stages.conftest import Run
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.ingest.test_table import URL, write_rows
from tests.stages.tars import write


def test_grit_rows_are_labelled_pairs(run: Run, tmp_path: Path) -> None:
    chunks = [[0.0, 5.0, 0.25, 0.5, 0.75, 1.0, 0.8], [10.0, 15.0, 0.0, 0.0, 0.5, 0.5, 0.7]]
    row = {"key": "1", "caption": "a dog and a cat", "width": 400, "height": 200, "url": URL % 1}
    row |= {"noun_chunks": chunks, "ref_exps": [chunks[0], [0.0, 15.0, 0.25, 0.5, 0.75, 1.0, 0.8]]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "grit.parquet")
    (pair,) = run.ingest(source=str(tmp_path / "grit.parquet"))
    assert (pair["source_id"], pair["url"], pair["image"]) == ("1", URL % 1, None)
    check_grit_gold(run, 1, 1)
    write(tmp_path / "images/1.png", image_file("PNG"))
    (pair,) = run.ingest(source=str(tmp_path / "grit.parquet"), images=str(tmp_path / "images"))
    assert run.image(pair) == image_file("PNG")
    check_grit_gold(run, WIDTH / 400, HEIGHT / 200)
    pq.write_table(pa.Table.from_pylist([row | {"key": "2"}]), tmp_path / "grit.parquet")
    run.ingest(source=str(tmp_path / "grit.parquet"), images=str(tmp_path / "images"))
    assert run.rejects() == {"2": "missing_image"}


def check_grit_gold(run: Run, sx: float, sy: float) -> None:
    (gold,) = run.rows("gold")
    assert [(span["start"], span["end"]) for span in gold["spans"]] == [(0, 5), (10, 15), (0, 15)]
    assert [tuple(box.values()) for box in gold["boxes"]] == [
        (0, 100 * sx, 100 * sy, 300 * sx, 200 * sy, ""),
        (1, 0, 0, 200 * sx, 100 * sy, ""),
        (2, 100 * sx, 100 * sy, 300 * sx, 200 * sy, ""),
    ]


def test_grounded_phrases_as_text(run: Run, tmp_path: Path) -> None:
    """A converter's noun_chunks; in a table of text there is no other way."""
    chunks = [[0.0, 5.0, 0.25, 0.5, 0.75, 1.0, 0.8], [10.0, 15.0, 0.0, 0.0, 0.5, 0.5, 0.7]]
    row = {"key": "1", "caption": "a dog and a cat", "width": "400", "height": 200, "noun_chunks": json.dumps(chunks)}
    row["ref_exps"] = json.dumps([[0.0, 15.0, 0.25, 0.5, 0.75, 1.0, 0.8]])
    run.ingest(source=write_rows(tmp_path, row))
    check_grit_gold(run, 1, 1)
    with open(tmp_path / "grit.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    run.ingest(source=str(tmp_path / "grit.csv"))
    check_grit_gold(run, 1, 1)
    run.ingest(source=write_rows(tmp_path, row | {"noun_chunks": "[[0, 5"}))
    assert run.rejects() == {"1": "bad_record"}
    run.ingest(source=write_rows(tmp_path, row | {"noun_chunks": "a dog, a cat", "ref_exps": None}))
    assert len(run.rows("pairs")) == 1 and run.rows("rejects/ingest") == []  # words of somebody else's
