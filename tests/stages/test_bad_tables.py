"""The catalogue of odd and bad input goes on: rows of tables, and true boxes.

As in test_bad_data.py each has its expected outcome, a reason code or "", and good neighbours that stay untouched.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.reasons import REJECTED_GOLD
from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.tars import write

LINES = {
    "broken JSON": (b'{"id": "odd", "caption": "x"', "bad_record"),
    "a JSON list": (b'["odd", "x"]', "bad_record"),
    "a JSON string": (b'"odd"', "bad_record"),
    "deep nesting": (b"[" * 100_000, "bad_record"),
    "deep nesting in an object": (b'{"id": "odd", "x": ' + b'{"a":' * 50_000, "bad_record"),
    "a number of 10,000 digits": (b'{"id": "odd", "caption": ' + b"9" * 10_000 + b"}", "bad_record"),
    "invalid UTF-8": (b'{"id": "odd", "caption": "\xff\xfe"}', "caption_not_text"),
    "binary": (bytes(range(256)).replace(b"\n", b""), "caption_not_text"),
    "NaN and Infinity": (b'{"id": "odd", "caption": "x", "score": NaN, "w": -Infinity}', ""),
    "a repeated key": (b'{"id": "0", "id": "odd", "caption": "x"}', ""),
    "unknown columns": (b'{"id": "odd", "caption": "x", "more": [1, {"a": null}]}', ""),
    "no caption column": (b'{"id": "odd"}', "missing_caption"),
    "an image that is a number": (b'{"id": "odd", "caption": "x", "image": 5}', "bad_record"),
    "an image with broken base64": (
        b'{"id": "odd", "caption": "x", "image": "data:image/png;base64,@@"}',
        "bad_record",
    ),
    "an empty inline image": (b'{"id": "odd", "caption": "x", "image": "data:,"}', "empty_image"),
    "an image that is not there": (b'{"id": "odd", "caption": "x", "image": "no.jpg"}', "missing_image"),
    "an image that is a folder": (b'{"id": "odd", "caption": "x", "image": "sub/."}', "missing_image"),
    "an image elsewhere": (b'{"id": "odd", "caption": "x", "image": "/etc/passwd"}', "image_read_refused"),
    "an image above": (b'{"id": "odd", "caption": "x", "image": "../a.jsonl"}', "image_read_refused"),
    "an image by file:": (b'{"id": "odd", "caption": "x", "image": "file:///etc/passwd"}', "image_read_refused"),
    "an image of a very long name": (
        b'{"id": "odd", "caption": "x", "image": "%s"}' % (b"x" * 300),
        "image_read_refused",
    ),
    "a url that is a list": (b'{"id": "odd", "caption": "x", "url": ["http://a"]}', ""),
    "a url with a NUL": (b'{"id": "odd", "caption": "x", "url": "http://a/\\u0000"}', ""),
    "GRIT boxes of words": (b'{"id": "odd", "caption": "x", "noun_chunks": [["a", 1, 2]]}', "bad_record"),
    "GRIT boxes of NaN": (b'{"id": "odd", "caption": "x", "noun_chunks": [[0, 1, 0, 0, NaN, 1, 1]]}', "bad_record"),
}


@pytest.mark.parametrize("name", LINES)
def test_json_lines(run: Run, tmp_path: Path, name: str) -> None:
    line, expected = LINES[name]
    (tmp_path / "pictures/sub").mkdir(parents=True)
    data = b'{"id": "0", "caption": "a", "image": null, "url": null}\n' + line + b'\n{"id": "1", "caption": "b"}\n'
    pairs = run.ingest(source=write(tmp_path / "a.jsonl", data), images=str(tmp_path / "pictures"))
    rejects = {source_id.replace("a.jsonl#1", "odd"): reason for source_id, reason in run.rejects().items()}
    assert rejects == ({"odd": expected} if expected else {})
    assert [pair["source_id"] for pair in pairs] == (["0", "1"] if expected else ["0", "odd", "1"])


PARQUETS = {
    "nulls": (pa.table({"caption": [None, "x"]}), ["missing_caption"]),
    "numbers": (pa.table({"caption": [1, 2]}), ["caption_not_text"] * 2),
    "lists": (pa.table({"caption": [["a"], []]}), ["missing_caption"]),
    "lists of numbers": (pa.table({"caption": [[1], [2]]}), ["caption_not_text"] * 2),
    "lists of objects": (pa.table({"caption": [[{"raw": "a"}], [{"raw": None}]]}), ["caption_not_text"]),
    "failed downloads": (
        pa.table(
            {
                **{"key": ["1", "2"], "status": ["success", "failed"], "error_message": ["", ""]},
                **{"caption": ["a", "b"], "jpg": [image_file(), None]},
            }
        ),
        ["download_failed"],
    ),
    "two images for a caption": (
        pa.table({"caption": ["a", "b"], "images": [["http://x"], ["1", "2"]]}),
        ["bad_record"],
    ),
    "a licence that counts the rows": (pa.table({"caption": ["a", "b"], "license": [0, 1]}), []),
    "invalid UTF-8": (
        pa.table({"caption": pa.array([b"\xff", b"fine"]).view(pa.string())}),
        ["caption_not_text"],
    ),
    "binary text": (pa.table({"caption": [b"a dog", b"\xff"]}), ["caption_not_text"]),
    "images of null": (pa.table({"caption": ["a", "b"], "image": pa.nulls(2, pa.binary())}), []),
    "images of noise": (pa.table({"caption": ["a", "b"], "image": [b"", b"noise"]}), ["empty_image", "not_an_image"]),
    "dictionaries": (pa.table({"caption": pa.array(["a", "b"]).dictionary_encode()}), []),
    "no rows": (pa.table({"caption": pa.array([], pa.string())}), []),
    "no caption": (pa.table({"words": ["a"]}), ["damaged_source"]),
}


@pytest.mark.parametrize("name", PARQUETS)
def test_parquets(run: Run, tmp_path: Path, name: str) -> None:
    table, rejected = PARQUETS[name]
    (tmp_path / "in").mkdir()
    pq.write_table(table, tmp_path / "in/a.parquet")
    pq.write_table(pa.table({"caption": ["neighbour"]}), tmp_path / "in/b.parquet")
    pairs = run.ingest(source=str(tmp_path / "in"))
    assert [row["reason"] for row in run.rows("rejects/ingest")] == rejected
    assert pairs[-1]["caption"] == "neighbour"
    assert len(pairs) - 1 + len(rejected) == max(table.num_rows, len(rejected))


BIG_CELL = "word, " * 3_000


TEXTS = {
    "an index without a name": (",image,caption\n0,,before\n1,,odd\n2,,after\n", "odd", []),
    "a column without a name at the end": ("caption,\nbefore,0\nodd,1\nafter,2\n", "odd", []),
    "bars with a space behind them": ("name| caption\n1| before\n2| odd , so\n3| after\n", "odd , so", []),
    "a bar that is missing in a row": ("name| caption\n1| before\n2 odd\n3| after\n", None, ["bad_record"]),
    "tabs in a .csv, and a comma in the first caption": (
        "caption\tn\nbefore\t1\nodd, so\t2\nafter\t3\n",
        "odd, so",
        [],
    ),
    "semicolons": ("caption;n\nbefore;1\nodd, so;2\nafter;3\n", "odd, so", []),
    "quotes of CSV between tabs": ('caption\tn\nbefore\t1\n"odd ""so"""\t2\nafter\t3\n', 'odd "so"', []),
    "quotes that are characters between tabs": ('caption\tn\nbefore\t1\n"odd" so\t2\nafter\t3\n', '"odd" so', []),
    "a line end in quotes": ('caption,n\nbefore,1\n"odd\r\nso",2\nafter,3\n', "odd\r\nso", []),
    "a quote that is never closed": ('caption,n\nbefore,1\n"odd,2\nafter,3\n', '"odd', []),
    "a quote that is never closed among good ones": (
        'caption,n\nbefore,"1, 2"\n"odd,2\n"so\nafter,3\n',
        None,
        ["bad_record"] * 2,  # no other row goes with them
    ),
    "a quote that ends too early": ('caption,n\nbefore,"1, 2"\n"odd" so,2\nafter,3\n', None, ["bad_record"]),
    "a quoted cell of 18 kB": (f'caption,n\nbefore,1\n"{BIG_CELL}",2\nafter,3\n', BIG_CELL, []),
    "too many cells": ("caption,n\nbefore,1\nodd,2,3\nafter,3\n", None, ["bad_record"]),
    "too few cells": ("caption,n\nbefore,1\nodd\nafter,3\n", None, ["bad_record"]),
    "empty lines": ("\n\ncaption,n\n\nbefore,1\n\r\nodd,2\n\n\nafter,3\n\n", "odd", []),
    "line ends of Windows": ("caption,n\r\nbefore,1\r\nodd,2\r\nafter,3\r\n", "odd", []),
    "a byte order mark, and no line end": ("\ufeffcaption,n\nbefore,1\nodd,2\nafter,3", "odd", []),
    "bytes that are not UTF-8": (b"caption,n\nbefore,1\nodd\xff,2\nafter,3\n", None, ["caption_not_text"]),
    "a NUL": ("caption,n\nbefore,1\nodd\0,2\nafter,3\n", None, ["caption_control_characters"]),
    "a header in capitals with space around": (" CAPTION , N \nbefore , 1 \nodd , 2 \nafter , 3 \n", "odd", []),
    "the header once more": ("caption,n\nbefore,1\ncaption,n\nafter,3\n", "caption", []),
    "a formula": ("caption,n\nbefore,1\n=cmd|' /C calc'!A0,2\nafter,3\n", "=cmd|' /C calc'!A0", []),
    "an image of a drive": ("caption,image\nbefore,\nodd,C:\\\\x.jpg\nafter,\n", None, ["image_read_refused"]),
    "an image above, by backslashes": (
        "caption,image\nbefore,\nodd,..\\\\..\\\\x\nafter,\n",
        None,
        ["image_read_refused"],
    ),
    "JSON in a .csv": ('[\n{"caption": "before"},\n{"caption": "odd"},\n{"caption": "after"}\n]', "odd", []),
    "JSON lines in a .csv": ('{"caption": "before"}\n{"caption": "odd"}\n{"caption": "after"}\n', "odd", []),
    "a broken element of JSON": ('[{"caption": "before"}, ["odd"], {"caption": "after"}]', None, ["bad_record"]),
    "lists as Python writes them": ("caption,n\n['before'],1\n\"['odd']\",2\n['after'],3\n", "odd", []),
}


@pytest.mark.parametrize("name", TEXTS)
def test_tables_of_text(run: Run, tmp_path: Path, name: str) -> None:
    text, odd, rejected = TEXTS[name]
    path = write(tmp_path / "a.csv", text if isinstance(text, bytes) else text.encode())
    pairs = run.ingest(source=path)
    assert [pair["caption"] for pair in pairs] == ["before", *([] if odd is None else [odd]), "after"]
    assert [row["reason"] for row in run.rows("rejects/ingest")] == rejected
    assert {pair["license"] for pair in pairs} == {pair["url"] for pair in pairs} == {None}


BOX = {"image_id": 1, "category_id": 1, "bbox": [4, 4, 10, 8]}


BOXES = {
    "a plain box": (BOX, ""),
    "sides that are text": (BOX | {"bbox": ["4", "4.0", "10", "8"]}, ""),
    "an image id that is text": (BOX | {"image_id": "1"}, ""),
    "an image id with zeros before it": (BOX | {"image_id": "0001"}, ""),
    "an image id with a fraction": (BOX | {"image_id": 1.0}, ""),
    "an image id that nobody has": (BOX | {"image_id": 9}, "unknown_image"),
    "no image id": ({"bbox": [4, 4, 10, 8]}, "unknown_image"),
    "an image id that is a list": (BOX | {"image_id": [1]}, "unknown_image"),
    "a box beyond the edge": (BOX | {"bbox": [20, 10, 99, 99]}, ""),
    "a box outside": (BOX | {"bbox": [90, 4, 10, 8]}, "outside_image"),
    "a width of zero": (BOX | {"bbox": [4, 4, 0, 8]}, "empty_box"),
    "a negative height": (BOX | {"bbox": [4, 4, 10, -8]}, "empty_box"),
    "three numbers": (BOX | {"bbox": [4, 4, 10]}, "bad_box"),
    "NaN": (BOX | {"bbox": [4, 4, float("nan"), 8]}, "bad_box"),
    "words": (BOX | {"bbox": ["a", "b", "c", "d"]}, "bad_box"),
    "no box": ({"image_id": 1, "category_id": 1}, "bad_box"),
    "a crowd": (BOX | {"iscrowd": 1}, "crowd"),
    "an annotation that is no object": ("odd", "unknown_image"),
    "a category that nobody has": (BOX | {"category_id": 7}, ""),
}


@pytest.mark.parametrize("name", BOXES)
def test_true_boxes(run: Run, tmp_path: Path, name: str) -> None:
    odd, expected = BOXES[name]
    images = [{"id": 1, "file_name": "1.jpg"}]
    captions = {"images": images, "annotations": [{"image_id": 1, "caption": "a"}]}
    instances = {"images": images, "annotations": [BOX, odd, BOX], "categories": [{"id": 1, "name": "dog"}]}
    write(tmp_path / "in/images/1.jpg", image_file())
    path = write(tmp_path / "instances.json", json.dumps(instances).encode())
    run.ingest(source=write(tmp_path / "in/captions.json", json.dumps(captions).encode()), instances=path)
    (row,) = run.rows("gold")
    good = {"span": -1, "x1": 4, "y1": 4, "x2": 14, "y2": 12, "category": "dog"}
    assert [row["boxes"][0], row["boxes"][-1]] == [good, good]
    assert len(row["boxes"]) == (2 if expected else 3)
    notes = run.results[0].notes["gold"]
    assert notes == {"in": 3, "used": len(row["boxes"]), "rejected": {expected: 1} if expected else {}}
    assert not expected or expected in REJECTED_GOLD
