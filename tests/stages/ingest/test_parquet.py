"""Parquet tables: images in them, and what damage costs."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.ingest.test_table import captions


def test_parquet_with_inline_images(run: Run, tmp_path: Path) -> None:
    rows = [{"caption": f"c{i}", "image": {"bytes": image_file("PNG"), "path": f"{i}.png"}, "id": i} for i in range(3)]
    pq.write_table(pa.Table.from_pylist([*rows, {"caption": "c3", "image": None, "id": 9}]), tmp_path / "a.parquet")
    pairs = run.ingest(2, source=str(tmp_path / "a.parquet"))
    assert [pair["source_id"] for pair in pairs] == ["0", "1", "2", "9"]
    assert [run.image(pair) == image_file("PNG") for pair in pairs[:3]] == [True] * 3
    assert pairs[3]["image"] is None


def test_a_damaged_row_group_costs_its_rows(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"caption": [f"caption {i} " * 9 for i in range(30)]}), path, row_group_size=10, compression="snappy"
    )
    metadata = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    data[metadata.data_page_offset : metadata.data_page_offset + 60] = b"\xff" * 60
    path.write_bytes(data)
    pairs = run.ingest(15, source=str(path))
    assert captions(pairs) == [f"caption {i} " * 9 for i in (*range(10), *range(20, 30))]
    assert set(run.rejects().values()) == {"damaged_source"} and len(run.rejects()) == 10
