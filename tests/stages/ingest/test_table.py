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


def captions(pairs: list[dict[str, Any]]) -> list[str]:
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
def test_a_header_that_does_not_tell_asks_by_name(run: Run, tmp_path: Path, header: str, message: str) -> None:
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


def test_parquet_with_inline_images(run: Run, tmp_path: Path) -> None:
    rows = [{"caption": f"c{i}", "image": {"bytes": image_file("PNG"), "path": f"{i}.png"}, "id": i} for i in range(3)]
    pq.write_table(pa.Table.from_pylist([*rows, {"caption": "c3", "image": None, "id": 9}]), tmp_path / "a.parquet")
    pairs = run.ingest(2, source=str(tmp_path / "a.parquet"))
    assert [pair["source_id"] for pair in pairs] == ["0", "1", "2", "9"]
    assert [run.image(pair) == image_file("PNG") for pair in pairs[:3]] == [True] * 3
    assert pairs[3]["image"] is None


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


def write_rows(tmp_path, *rows, name="a.jsonl", **options):
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
def test_images_by_any_usual_column_and_any_spelling(run, tmp_path, name, text, image):
    write(tmp_path / "pictures/0.jpg", image_file())
    write(tmp_path / "pictures/sub/0.jpg", image_file("PNG"))
    path = write(tmp_path / name, text.format(image=image).encode())
    (pair,) = run.ingest(source=path, images=str(tmp_path / "pictures"))
    assert pair["caption"] == "a dog"
    assert run.image(pair) == image_file("PNG" if "sub" in text else "JPEG")


def test_flickrs_captions_without_a_header(run, tmp_path):
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


def test_addresses_do_not_use_a_folder_of_images(run, tmp_path):
    path = write_rows(tmp_path, {"image": URL % 1, "caption": "a"}, {"image": URL % 2, "caption": "b"})
    with pytest.raises(UserError, match=r"'image' has web addresses, none of which is a file of ingest\.images"):
        run.ingest(source=path, images=str(tmp_path))
    assert [pair["url"] for pair in run.ingest(source=path)] == [URL % 1, URL % 2]


def test_grounded_phrases_as_text(run, tmp_path):
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


def test_ids_carry_the_path_below_the_source(run, tmp_path):
    for name in ("train/metadata.jsonl", "val/metadata.jsonl", "val/more/a.csv", "b.csv"):
        write(tmp_path / "in" / name, b'{"text": "a"}\n' if name.endswith("jsonl") else b"text,n\na,1\n")
    write(tmp_path / "in/val/c.parquet", b"PAR1 nothing")
    pairs = run.ingest(source=str(tmp_path / "in") + "/")
    assert [pair["source_id"] for pair in pairs] == [
        *("b.csv#0", "train/metadata.jsonl#0"),
        *("val/metadata.jsonl#0", "val/more/a.csv#0"),
    ]
    assert run.rejects() == {"val/c.parquet": "damaged_source"}
