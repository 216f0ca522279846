"""img2dataset's sidecars: their rows are the source's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.tars import member, plain_tar, sample, tar, write


def sidecar(path: Path, rows: Any) -> None:
    """rows: (key, status, caption)."""
    columns = [
        {"url": f"http://x/{key}", "caption": caption, "key": key, "status": status, "error_message": None}
        for key, status, caption in rows
    ]
    schema = pa.schema([(name, pa.string()) for name in ("url", "caption", "key", "status", "error_message")])
    pq.write_table(pa.Table.from_pylist(columns, schema=schema), path)


def test_a_sidecar_lists_the_rows(run: Run, tmp_path: Path) -> None:
    plain_tar(tmp_path / "in/a.tar", [*sample("0", "a dog"), *sample("2"), *sample("unlisted")])
    rows = [("0", "success", "a dog"), ("1", "failed_to_download", "b"), ("2", "success", "c"), ("2", "success", "c")]
    sidecar(tmp_path / "in/a.parquet", [*rows, ("3", "success", "gone"), ("4", None, "also gone")])
    (tmp_path / "in/a_stats.json").write_text("{}")
    pairs = run.ingest(4, source=str(tmp_path / "in"))
    assert [pair["source_id"] for pair in pairs] == ["0", "2", "unlisted"]
    assert pairs[0]["url"] == "http://x/0"
    assert [(row["source_id"], row["reason"]) for row in run.rows("rejects/ingest")] == [
        ("1", "download_failed"),
        ("2", "duplicate_sample"),
        ("3", "missing_image"),
        ("4", "missing_image"),
    ]
    assert [run.results[part].counts.in_ for part in (0, 1)] == [4, 3]


def test_a_truncated_tar_with_a_sidecar_names_what_it_lost(run: Run, tmp_path: Path) -> None:
    data = tar(*sample("0"), *sample("1"), *sample("2"))
    write(tmp_path / "a.tar", data[: len(tar(*sample("0")))])  # within the second sample's image
    sidecar(tmp_path / "a.parquet", [(key, "success", "x") for key in "012"])
    assert [pair["source_id"] for pair in run.ingest(source=str(tmp_path / "a.tar"))] == ["0"]
    assert run.rejects() == {"1": "truncated_source", "2": "truncated_source"}


@pytest.mark.parametrize("content", [b"PAR1 no footer", b"", None])
def test_a_broken_sidecar_is_a_reject_and_the_tar_speaks_for_itself(run: Run, tmp_path: Path, content: Any) -> None:
    plain_tar(tmp_path / "a.tar", sample("0"))
    if content is None:
        pq.write_table(pa.table({"something": ["else"]}), tmp_path / "a.parquet")
    else:
        write(tmp_path / "a.parquet", content)
    assert [pair["source_id"] for pair in run.ingest(source=str(tmp_path / "a.tar"))] == ["0"]
    assert run.rejects() == {"a.parquet": "damaged_source"}


def test_a_sidecar_whose_data_is_damaged_rejects_the_rows_it_lists(run: Run, tmp_path: Path) -> None:
    plain_tar(tmp_path / "a.tar", [*sample("0"), *sample("1")])
    sidecar(tmp_path / "a.parquet", [(key, "success", "x" * 200) for key in "01"])
    column = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(1)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + 30] = b"\xff" * 30
    write(tmp_path / "a.parquet", bytes(data))
    run.ingest(source=str(tmp_path / "a.tar"))
    assert run.rejects() == {"a.parquet#0": "damaged_source", "a.parquet#1": "damaged_source"}
    assert [pair["source_id"] for pair in run.rows("pairs")] == ["0", "1"]  # the tar has them all the same


def rejected(run: Run) -> Any:
    return [(row["source_id"], row["reason"]) for row in run.rows("rejects/ingest")]


def test_a_sidecar_whose_tar_is_gone_is_rejects(run: Run, tmp_path: Path) -> None:
    """Its rows would be nowhere, and nobody would miss them."""
    plain_tar(tmp_path / "in/b.tar", sample("1"))
    sidecar(tmp_path / "in/b.parquet", [("1", "success", "x")])
    sidecar(tmp_path / "in/a.parquet", [("7", "success", "x"), ("8", "failed_to_download", "y"), ("9", "success", "z")])
    pq.write_table(pa.table({"uid": ["x"]}), tmp_path / "in/metadata.parquet")  # no sidecar
    pairs = run.ingest(2, source=str(tmp_path / "in"))
    assert [pair["source_id"] for pair in pairs] == ["1"]
    assert rejected(run) == [(key, "damaged_source") for key in "789"]
    assert "the sidecar says failed_to_download" in run.rows("rejects/ingest")[1]["detail"]


@pytest.mark.parametrize("part_size", [1, 2, 100])
@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["./000", "./002"], ["000", "001", "002"]),
        (["x/000", "x/002"], ["000", "001", "002"]),
        (["/abs/000", "other/002"], ["000", "001", "002"]),
        (["000", "002"], ["./000", "./001", "./002"]),
        (["000", "002"], ["0", "1", "2"]),  # a table program has read them as numbers
        (["x/000", "x/002"], ["x/000", "x/001", "x/002"]),
    ],
)
def test_a_sample_is_the_one_that_the_sidecar_means(
    run: Run, tmp_path: Path, names: Any, keys: Any, part_size: int
) -> None:
    members = [member(f"{name}{end}", data) for name in names for end, data in ((".jpg", image_file()), (".txt", b"a"))]
    write(tmp_path / "in/a.tar", tar(*members))
    sidecar(tmp_path / "in/a.parquet", list(zip(keys, ["success", "failed_to_download", "success"], "abc")))
    pairs = run.ingest(part_size, source=str(tmp_path / "in"))
    plain = [key.removeprefix("./") for key in keys]
    assert [pair["source_id"] for pair in pairs] == [plain[0], plain[2]]
    assert rejected(run) == [(plain[1], "download_failed")]
    assert sum(result.counts.in_ for result in run.results.values()) == 3


def test_a_name_in_two_folders_is_nobodys(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/a.tar", tar(*sample("x/0"), *sample("y/0")))
    sidecar(tmp_path / "in/a.parquet", [("0", "success", "a")])
    assert [pair["source_id"] for pair in run.ingest(source=str(tmp_path / "in"))] == ["x/0", "y/0"]
    assert rejected(run) == [("0", "missing_image")]


ENDED = tar(*sample("0"), *sample("1"))


BORDER = len(tar(*sample("0"))) - 1024


@pytest.mark.parametrize("length", [0, BORDER, BORDER + 100, len(ENDED) - 1024])
def test_a_tar_cut_at_a_members_border_is_truncated_where_the_sidecar_knows_more(
    run: Run, tmp_path: Path, length: int
) -> None:
    write(tmp_path / "in/a.tar", ENDED[:length])
    sidecar(tmp_path / "in/a.parquet", [("0", "success", "a"), ("1", "success", "b"), ("2", "success", "c")])
    there = [pair["source_id"] for pair in run.ingest(source=str(tmp_path / "in"))]
    assert there == [key for key, end in (("0", BORDER), ("1", len(ENDED) - 1024)) if length >= end]
    assert rejected(run) == [(key, "truncated_source") for key in "012" if key not in there]


def test_a_tar_with_its_end_marker_lacks_what_it_lacks(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/a.tar", ENDED)
    sidecar(tmp_path / "in/a.parquet", [("2", "success", "c")])
    run.ingest(source=str(tmp_path / "in"))
    assert rejected(run) == [("2", "missing_image")]


def test_tars_in_folders_give_ids_with_their_paths(run: Run, tmp_path: Path) -> None:
    for split in ("train", "val"):
        plain_tar(tmp_path / f"in/{split}/00000.tar", sample("000000000"))
        sidecar(tmp_path / f"in/{split}/00000.parquet", [("000000000", "success", "a"), ("000000001", "failed", "b")])
    plain_tar(tmp_path / "in/val/00001.tar", sample("x"))
    pairs = run.ingest(source=str(tmp_path / "in"))
    assert [pair["source_id"] for pair in pairs] == ["train/000000000", "val/000000000", "val/x"]
    assert rejected(run) == [("train/000000001", "download_failed"), ("val/000000001", "download_failed")]
