"""Tables of text and of records: which column is what, and where the images are."""

from __future__ import annotations

import base64
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.stage import UserError
from tests.stages.conftest import Run
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import write

URL = "http://example.org/%d.jpg"


def captions(pairs: Any) -> Any:
    return [pair["caption"] for pair in pairs]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
@pytest.mark.parametrize("caption_first", [True, False])
def test_captions_are_told_from_addresses(run: Run, tmp_path: Path, name: str, caption_first: bool) -> None:
    delimiter = "\t" if name.endswith("tsv") else ","
    rows = [("a dog", URL % 1), ("", URL % 2), ("http is a protocol", URL % 3)]
    text = "".join(delimiter.join(row if caption_first else row[::-1]) + "\n" for row in rows)
    pairs = run.ingest(source=write(tmp_path / name, text.encode()))
    assert [(pair["caption"], pair["url"]) for pair in pairs] == rows
    assert [pair["source_id"] for pair in pairs] == [f"{name}#{i}" for i in range(3)]
    assert all(pair["image"] is None and pair["width"] is None and pair["sha256"] is None for pair in pairs)


def test_conceptual_captions(run: Run, shared: Path) -> None:
    path = shared / "captions/conceptual_captions_val.tsv"
    pairs = run.ingest(part_size=3000, source=str(path))
    lines = path.read_text(encoding="utf-8").rstrip("\n").split("\n")
    assert [f"{pair['caption']}\t{pair['url']}" for pair in pairs] == lines
    assert run.rows("rejects/ingest") == []


def test_an_unclear_table_asks_for_the_column(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", b"1.jpg#0\ta dog\n1.jpg#1\ta cat\n")
    with pytest.raises(UserError, match=r"set ingest\.caption to one of 0 \('1.jpg#0'\), 1 \('a dog'\)"):
        run.ingest(source=path)
    write(tmp_path / "b.tsv", b"clear\thttp://x\n")
    with pytest.raises(UserError, match=r"a\.tsv: no header"):
        run.ingest(source=str(tmp_path))
    pairs = run.ingest(source=path, caption="1", id="0")
    assert [(pair["source_id"], pair["caption"]) for pair in pairs] == [("1.jpg#0", "a dog"), ("1.jpg#1", "a cat")]
    with pytest.raises(UserError, match="there is no column '7'"):
        run.ingest(source=path, caption="7")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("caption,text", "'caption' and 'text' may be the caption"),
        ("url,key", "no column is the caption"),
        ("name,url", "no column is the caption"),
    ],
)
def test_a_header_that_does_not_tell_asks_by_name(run: Run, tmp_path: Path, header: Any, message: str) -> None:
    path = write(tmp_path / "a.csv", f"{header}\na,b\n".encode())
    with pytest.raises(UserError, match=f"{message}.*ingest.caption"):
        run.ingest(source=path)
    assert captions(run.ingest(source=path, caption=header.split(",")[1])) == ["b"]


def test_a_missing_column_is_named_with_those_that_are_there(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"caption,url\na,http://x\n")
    with pytest.raises(UserError, match=r"ingest\.image: a\.csv has no column 'photo'; it has 'caption', 'url'"):
        run.ingest(source=path, image="photo")


def test_csv_quotes_lines_and_broken_records(run: Run, tmp_path: Path) -> None:
    rows = [["plain", "1"], ['say "hi", they said', "2"], ["two\nlines\r\n here", "3"], ["", "4"], ["5'' nail", "5"]]
    path = tmp_path / "a.csv"
    with open(path, "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["caption", "id"], *rows])
    with open(path, "a", newline="") as file:
        file.write('too,many,fields\nfew\n\n\r\n5" nail,6\n"never closed,7\nafter it,8\n')
    pairs = run.ingest(source=str(path))
    assert [(pair["caption"], pair["source_id"]) for pair in pairs] == [
        *(tuple(row) for row in rows),
        ('5" nail', "6"),
        ("after it", "8"),
    ]
    assert [row["reason"] for row in run.rows("rejects/ingest")] == ["bad_record"] * 3


@pytest.mark.parametrize("part_size", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.parquet"])
def test_any_part_size_gives_the_same_rows(run: Run, tmp_path: Path, name: str, part_size: int) -> None:
    texts = [f"caption {i} " + "ü" * i for i in range(20)]
    if name.endswith("parquet"):
        pq.write_table(pa.table({"caption": texts}), tmp_path / name, row_group_size=6)
    elif "json" in name:
        write(tmp_path / name, "\n\n".join(json.dumps({"caption": text}) for text in texts).encode())
    else:
        delimiter = "\t" if "tsv" in name else ","
        lines = "\n".join(
            f'"{text}\n"{delimiter}{i}' if "csv" in name else f"{text}{delimiter}{i}" for i, text in enumerate(texts)
        )
        data = f"caption{delimiter}n\n{lines}".encode()
        write(tmp_path / name, gzip.compress(data) if name.endswith("gz") else data)
    pairs = run.ingest(part_size, source=str(tmp_path / name))
    assert [text.rstrip("\n") for text in captions(pairs)] == texts


def test_images_by_path_by_bytes_and_by_base64(run: Run, tmp_path: Path) -> None:
    data = image_file()
    write(tmp_path / "pictures/sub/0.jpg", data)
    values = [
        "sub/0.jpg",
        str(tmp_path / "pictures/sub/0.jpg"),
        base64.b64encode(data).decode(),
        "data:image/jpeg;base64," + base64.b64encode(data).decode(),
        {"bytes": base64.b64encode(data).decode()},
        {"path": "sub/0.jpg", "bytes": None},
        None,
        "http://example.org/0.jpg",
    ]
    lines = [json.dumps({"text": "a dog", "image": value}) for value in values]
    path = write(tmp_path / "a.jsonl", "\n".join(lines).encode())
    pairs = run.ingest(source=path, images=str(tmp_path / "pictures"))
    assert [pair["image"] and pair["image"]["uri"].rpartition("/")[2] for pair in pairs] == [
        "0.jpg",
        "0.jpg",
        *["part-0000000.tar"] * 3,
        "0.jpg",
        None,
        None,
    ]
    assert all(run.image(pair) == data for pair in pairs[:6])
    assert {(pair["width"], pair["height"]) for pair in pairs[:6]} == {(WIDTH, HEIGHT)}
    assert pairs[7]["url"] == "http://example.org/0.jpg"


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../a.jpg",
        "x/../../a.jpg",
        "file:///etc/passwd",
        "s3://other/a.jpg",
        "a\\..\\b",
        "n\0ul",
        "~/a.jpg",
    ],
)
def test_images_elsewhere_are_refused(run: Run, tmp_path: Path, name: str) -> None:
    write(tmp_path / "pictures/0.jpg", image_file())
    rows = [{"id": "bad", "caption": "x", "image": name}, {"id": "good", "caption": "x", "image": "0.jpg"}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)).encode())
    assert [pair["source_id"] for pair in run.ingest(source=path, images=str(tmp_path / "pictures"))] == ["good"]
    assert run.rejects() == {"bad": "image_read_refused"}


def test_one_broken_file_of_many_is_one_reject(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", b"caption\na\n")
    write(tmp_path / "in/b.parquet", b"PAR1 nothing")
    write(tmp_path / "in/c.csv", "caption\nü\n".encode("utf-16"))
    write(tmp_path / "in/d.csv.gz", gzip.compress(b"caption\n" + bytes(1000))[:20])
    assert captions(run.ingest(source=str(tmp_path / "in"))) == ["a"]
    assert run.rejects() == dict.fromkeys(("b.parquet", "c.csv", "d.csv.gz"), "damaged_source")


def write_rows(tmp_path: Path, *rows: Any, name: str = "a.jsonl", **options: Any) -> Any:
    return write(tmp_path / "in" / name, "\n".join(json.dumps(row, **options) for row in rows).encode())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "{image},caption\n0.jpg,a dog\n"),
        ("a.csv", "caption,{image}\na dog,sub\\\\0.jpg\n".replace("\\\\", "\\")),
        ("a.tsv", "{image}\tcaption\n0.jpg#0\ta dog\n"),
        ("a.jsonl", '{{"{image}": ".\\\\sub\\\\0.jpg", "caption": "a dog"}}\n'),
    ],
)
@pytest.mark.parametrize("image", ["img", "image_name", "file_name", "filepath", "image_path", "jpg"])
def test_images_by_any_usual_column_and_any_spelling(
    run: Run, tmp_path: Path, name: str, text: Any, image: Any
) -> None:
    write(tmp_path / "pictures/0.jpg", image_file())
    write(tmp_path / "pictures/sub/0.jpg", image_file("PNG"))
    path = write(tmp_path / name, text.format(image=image).encode())
    (pair,) = run.ingest(source=path, images=str(tmp_path / "pictures"))
    assert pair["caption"] == "a dog"
    assert run.image(pair) == image_file("PNG" if "sub" in text else "JPEG")


def test_flickrs_captions_without_a_header(run: Run, tmp_path: Path) -> None:
    """`NAME.jpg#0`: images are read once each, and rows are named by their place."""
    path = write(tmp_path / "in/Flickr8k.token.txt", b"1.jpg#0\ta dog\n1.jpg#1\ta , b\n2.jpg#0\tc\n")
    with pytest.raises(UserError, match=r"set ingest\.caption"):  # nothing says that these are images
        run.ingest(source=path)
    for name in ("1.jpg", "2.jpg"):
        write(tmp_path / "in/Flicker8k_Dataset" / name, image_file())
    for options in ({}, {"caption": 1, "image": 0}, {"images": str(tmp_path / "in/Flicker8k_Dataset")}):
        pairs = run.ingest(source=path, **options)
        assert captions(pairs) == ["a dog", "a , b", "c"]
        assert [pair["image"]["uri"].rpartition("/")[2] for pair in pairs] == ["1.jpg", "1.jpg", "2.jpg"]
        assert [pair["source_id"] for pair in pairs] == [f"Flickr8k.token.txt#{n}" for n in range(3)]


def test_addresses_do_not_use_a_folder_of_images(run: Run, tmp_path: Path) -> None:
    path = write_rows(tmp_path, {"image": URL % 1, "caption": "a"}, {"image": URL % 2, "caption": "b"})
    with pytest.raises(UserError, match=r"'image' has web addresses, none of which is a file of ingest\.images"):
        run.ingest(source=path, images=str(tmp_path))
    assert [pair["url"] for pair in run.ingest(source=path)] == [URL % 1, URL % 2]


def test_ids_carry_the_path_below_the_source(run: Run, tmp_path: Path) -> None:
    for name in ("train/metadata.jsonl", "val/metadata.jsonl", "val/more/a.csv", "b.csv"):
        write(tmp_path / "in" / name, b'{"text": "a"}\n' if name.endswith("jsonl") else b"text,n\na,1\n")
    write(tmp_path / "in/val/c.parquet", b"PAR1 nothing")
    pairs = run.ingest(source=str(tmp_path / "in") + "/")
    assert [pair["source_id"] for pair in pairs] == [
        *("b.csv#0", "train/metadata.jsonl#0"),
        *("val/metadata.jsonl#0", "val/more/a.csv#0"),
    ]
    assert run.rejects() == {"val/c.parquet": "damaged_source"}
