"""JSON as a table, whatever the file is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.stage import UserError
from tests.stages.conftest import Run
from tests.stages.tars import write

URL = "http://x/%d.jpg"


def captions(pairs: list[dict[str, Any]]) -> list[str]:
    return [pair["caption"] for pair in pairs]


def write_rows(tmp_path: Path, *rows: Any, name: str = "a.jsonl") -> str:
    """JSON lines."""
    return write(tmp_path / "in" / name, "\n".join(map(json.dumps, rows)).encode())


RECORDS = [{"image": f"{n}.jpg", "caption": f"[{n}] a dog", "more": [{"x": n}]} for n in range(5)]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.tsv", "captions.json", "a.txt"])
@pytest.mark.parametrize(
    "text",
    [
        json.dumps(RECORDS, indent=2),
        json.dumps(RECORDS),
        json.dumps({"info": {"x": [1]}, "data": RECORDS, "none": []}, indent=4),
        "\ufeff" + json.dumps(RECORDS, indent="\t"),
        "\n\n" + json.dumps(RECORDS, indent=0),
    ],
)
@pytest.mark.parametrize("part_size", [2, 100])
def test_json_is_read_as_json_whatever_its_name(run: Run, tmp_path: Path, name: str, text: str, part_size: int) -> None:
    if name == "a.jsonl" and "\n" not in text.strip():
        pytest.skip("one line of JSONL")
    path = write(tmp_path / name, text.encode())
    pairs = run.ingest(part_size, source=path, image="")
    assert captions(pairs) == [row["caption"] for row in RECORDS]
    assert [pair["source_id"] for pair in pairs] == [f"{name}#{n}" for n in range(5)]


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_json_lines_are_read_as_lines_whatever_their_name(run: Run, tmp_path: Path, name: str) -> None:
    path = write_rows(tmp_path, *({"caption": text, "url": URL % 1} for text in "abc"), name=name)
    assert captions(run.ingest(2, source=path, format="table")) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"image_urls": ["http://x"], "captions": ["a"]}',
            "no list of objects, .*; its lists are 'image_urls', 'captions'",
        ),
        ('{"a": [{"caption": "x"}], "b": [{"caption": "y"}]}', "its lists are 'a', 'b'"),
        ('[["a", "b"]]', "no list of objects"),
        ("[]", "no list of objects"),
        ('{"caption": {"0": "x"}}', "no list of objects"),
        ('[{"caption": "x"}, {"caption": ', "broken JSON at byte"),
        ('[{"caption": "x"}] trailing', "the JSON ends before byte"),
        ('{"annotations": [{"caption": "x", "image_id": 1}], "images": [{"id": 1}]}', "set ingest.format to coco"),
        ('"text"', "not the expected JSON at byte 0"),
    ],
)
def test_other_json_is_refused_by_name(run: Run, tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "a.json", text.encode())
    with pytest.raises(UserError, match=message):
        run.ingest(source=path, format="table")


def test_a_bad_element_of_json_costs_its_row(run: Run, tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json", json.dumps([{"caption": "a"}, 5, None, {"caption": 7}, {"caption": "b"}]).encode()
    )
    assert captions(run.ingest(2, source=path)) == ["a", "b"]
    assert run.rejects() == {"a.json#1": "bad_record", "a.json#2": "bad_record", "a.json#3": "caption_not_text"}
