"""Records of tables: several captions and images in a row, and what their images are."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.tars import write

URL = "http://x/%d.jpg"


def captions(pairs: list[dict[str, Any]]) -> list[str]:
    return [pair["caption"] for pair in pairs]


def write_rows(tmp_path: Path, *rows: Any, name: str = "a.jsonl") -> str:
    """JSON lines."""
    return write(tmp_path / "in" / name, "\n".join(map(json.dumps, rows)).encode())


def test_images_by_id(run: Run, tmp_path: Path) -> None:
    rows = [{"id": value, "caption": "x"} for value in ("1", "2.jpg", "3.jpg#4", "sub/5.jpg", "6", "7")]
    for name in ("1.png", "2.jpg", "3.jpg", "sub/5.jpg", "a/6.jpg", "b/6.jpg", "7.txt", "1.jpg"):
        write(tmp_path / "pictures" / name, image_file("PNG" if name.endswith("png") else "JPEG"))
    pairs = run.ingest(source=write_rows(tmp_path, *rows), images=str(tmp_path / "pictures"))
    assert [pair["source_id"] for pair in pairs] == ["1", "2.jpg", "3.jpg#4", "sub/5.jpg"]
    assert run.image(pairs[0]) == image_file()
    details = {row["source_id"]: (row["reason"], row["detail"]) for row in run.rows("rejects/ingest")}
    assert details == {
        "6": ("missing_image", "ingest.images has several files of this name"),
        "7": ("missing_image", "ingest.images has no file of this name"),
    }


SEVERAL = [["a", "b", "c"], ["d"], [], ["e", "f"]]


def as_list(tmp_path: Path, kind: str) -> str:
    """A table of SEVERAL captions a row and one image each; its name."""
    path = tmp_path / "in" / f"t.{kind.partition(' ')[0]}"
    path.parent.mkdir(exist_ok=True)
    names = [f"{n}.jpg" for n in range(len(SEVERAL))]
    rows = [{"filename": name, "caption": value} for name, value in zip(names, SEVERAL)]
    for name in names:
        write(tmp_path / "in" / name, image_file())
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    elif kind == "parquet bytes":
        images = [{"bytes": image_file(), "path": name} for name in names]
        pq.write_table(pa.table({"image": images, "sentences": SEVERAL, "filename": names}), path)
    elif kind == "jsonl":
        write_rows(tmp_path, *rows, name="t.jsonl")
    elif kind == "jsonl objects":
        given = [{"filename": row["filename"], "sentences": [{"raw": text} for text in row["caption"]]} for row in rows]
        write_rows(tmp_path, *given, name="t.jsonl")
    elif kind == "json":
        path.write_text(json.dumps({"images": rows, "dataset": "flickr8k"}, indent=1))
    else:
        write_csv = json.dumps if kind == "csv json" else repr
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([["filename", "raw"], *([r["filename"], write_csv(r["caption"])] for r in rows)])
    return str(path)


KINDS = ["parquet", "parquet bytes", "jsonl", "jsonl objects", "json", "csv json", "csv repr"]


@pytest.mark.parametrize("part_size", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_several_captions_is_a_pair_each(run: Run, tmp_path: Path, kind: str, part_size: int) -> None:
    pairs = run.ingest(part_size, source=as_list(tmp_path, kind))
    assert captions(pairs) == ["a", "b", "c", "d", "e", "f"]
    name = f"t.{kind.partition(' ')[0]}"
    numbers = ["0#0", "0#1", "0#2", "1#0", "3#0", "3#1"]
    assert [pair["source_id"] for pair in pairs] == [f"{name}#{number}" for number in numbers]
    assert run.rejects() == {f"{name}#2#0": "missing_caption"}
    assert all(run.image(pair) == image_file() for pair in pairs)
    assert sum(result.counts.in_ for result in run.results.values()) == 7


def test_pairs_of_one_row_share_its_bytes(run: Run, tmp_path: Path) -> None:
    pairs = run.ingest(source=as_list(tmp_path, "parquet bytes"))
    assert len({pair["image"]["offset"] for pair in pairs}) == 3
    data = base64.b64encode(image_file()).decode()
    path = write_rows(
        tmp_path, {"image": data, "caption": ["a", "b"]}, {"image": data, "caption": ["c"]}, name="b.jsonl"
    )
    pairs = run.ingest(source=path)
    assert [pair["image"]["offset"] for pair in pairs] == [512, 512, 512 + 1024 + 512]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_count_of_pairs_cuts_a_row(run: Run, tmp_path: Path, count: int) -> None:
    assert captions(run.ingest(2, source=as_list(tmp_path, "jsonl"), count=count)) == ["a", "b", "c", "d"][:count]


def test_a_damaged_row_group_costs_the_pairs_that_were_planned(run: Run, tmp_path: Path) -> None:
    """Of the images alone: the captions say how many pairs there are."""
    path = tmp_path / "a.parquet"
    table = pa.table({"caption": [["a", "b"], ["c"], ["d", "e", "f"]], "image": [image_file()] * 3})
    pq.write_table(table, path, row_group_size=1, use_dictionary=False, compression="snappy")
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 40] = b"\xff" * 40
    path.write_bytes(data)
    assert captions(run.ingest(2, source=str(path))) == ["a", "b", "d", "e", "f"]
    assert run.rejects() == {"a.parquet#1": "damaged_source"}


def test_text_interleaved_with_images(run: Run, tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        write(tmp_path / "in" / name, image_file())
    token, end = "<__dj__image>", "<|__dj__eoc|>"
    path = write_rows(
        tmp_path,
        {"images": ["1.jpg"], "text": f"{token} a red dog {end}"},
        {"images": ["1.jpg", "2.jpg"], "text": f"{token} first {end} {token} second {end}"},
        {"images": [], "text": f"{token} none {end}"},
        {"images": [], "text": f"only text {end}"},
    )
    pairs = run.ingest(source=path)
    found = [(pair["caption"], pair["image"] and pair["image"]["uri"].rpartition("/")[2]) for pair in pairs]
    assert found == [("a red dog", "1.jpg"), ("first", "1.jpg"), ("second", "2.jpg"), ("only text", None)]
    assert [pair["source_id"] for pair in pairs] == [f"a.jsonl#{number}" for number in ("0", "1#0", "1#1", "3")]
    assert run.rejects() == {"a.jsonl#2": "bad_record"}


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.csv"])
@pytest.mark.parametrize("stem", ["caption_", "sentence", "Text "])
def test_numbered_columns_are_captions_of_one_image(run: Run, tmp_path: Path, name: str, stem: str) -> None:
    """As in the Flickr8k of the hub: caption_0 to caption_4."""
    write(tmp_path / "in/0.jpg", image_file())
    rows = [{"image": "0.jpg", **{f"{stem}{n}": f"c{row}{n}" for n in (10, 2, 1)}} for row in range(2)]
    rows[1][f"{stem}2"] = None
    if name.endswith("jsonl"):
        write_rows(tmp_path, *rows)
    elif name.endswith("csv"):
        with open(tmp_path / "in" / name, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in" / name)
    for options in ({}, {"caption": f"{stem}*"}):
        pairs = run.ingest(2, source=str(tmp_path / "in" / name), **options)
        assert captions(pairs) == ["c01", "c02", "c010", "c11", "c110"]
        assert len({pair["image"]["uri"] for pair in pairs}) == 1


def test_the_table_that_img2dataset_writes(run: Run, tmp_path: Path) -> None:
    """`--output_format parquet`: images in a column, and failed downloads as rows."""
    status = ["success", "failed_to_download", "failed_to_resize", "success", "success"]
    images = [image_file(), None, None, None, image_file()]
    table = pa.table(
        {
            "url": [URL % n for n in range(5)],
            "caption": list("abcde"),
            "key": [f"{n:09d}" for n in range(5)],
            "status": status,
            "error_message": [None, "HTTP Error 404", "bad", None, None],
            "jpg": images,
        }
    )
    path = tmp_path / "in/00000.parquet"
    path.parent.mkdir()
    pq.write_table(table, path)
    write(tmp_path / "in/00000_stats.json", b"{}")
    for source in (path, path.parent):
        pairs = run.ingest(source=str(source))
        assert [(pair["source_id"], pair["url"]) for pair in pairs] == [("000000000", URL % 0), ("000000004", URL % 4)]
        assert all(run.image(pair) == image_file() for pair in pairs)
        rejected = [(row["reason"], row["detail"]) for row in run.rows("rejects/ingest")]
        assert rejected == [
            ("download_failed", "failed_to_download: HTTP Error 404"),
            ("download_failed", "failed_to_resize: bad"),
            ("missing_image", "it was downloaded, and jpg is empty"),
        ]


def test_a_status_tells_of_a_download_without_its_message_too(run: Run, tmp_path: Path) -> None:
    table = pa.table({"key": ["0", "1"], "caption": ["a", "b"], "status": ["success", "failed_to_download"]})
    pq.write_table(table.append_column("jpg", pa.array([image_file(), None])), tmp_path / "a.parquet")
    assert [pair["source_id"] for pair in run.ingest(source=str(tmp_path / "a.parquet"))] == ["0"]
    assert run.rejects() == {"1": "download_failed"}


def test_a_status_of_another_kind_is_no_download(run: Run, tmp_path: Path) -> None:
    assert len(run.ingest(source=write_rows(tmp_path, {"key": "1", "status": "draft", "caption": "a"}))) == 1
