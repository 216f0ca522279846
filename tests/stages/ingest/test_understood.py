"""What was understood of a source: for the config, which reads it back, and for a person."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.ingest.stage import IngestStage
from tests.stages.conftest import Run
from tests.stages.image_files import HEIGHT, WIDTH, image_file
from tests.stages.tars import plain_tar, write


def look(run: Run, source: Path, **options: Any) -> tuple[dict[str, Any], list[str], list[Any]]:
    """Values for the config, lines for a person, slices."""
    stage = IngestStage(run.config(ingest={"source": str(source), **options}))
    pieces = stage.plan(run.io(), 100)
    return stage.understood(pieces), list(stage.describe(run.io(), pieces)), pieces


def kaggle(root: Path) -> Path:
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg"):
        write(root / "Images" / name, image_file())
    rows = "".join(f'{number}.jpg,"caption, {number}"\n' for number in (9, 1, 2, 3, 4))
    write(root / "captions.txt", f"image,caption\n{rows}".encode())
    return root


def table(root: Path) -> Path:
    write(root / "a.tsv", b'a "dog"\thttp://x/1\na cat\thttp://x/2\n')
    return root / "a.tsv"


def dotted(root: Path) -> Path:
    names = [(f"{n}.{suffix}", data) for n in "xy" for suffix, data in (("in.jpg", image_file()), ("out.txt", b"a"))]
    return Path(plain_tar(root / "a.tar", names))


def lists(root: Path) -> Path:
    write(root / "1.jpg", image_file())
    write(root / "a.json", json.dumps([{"filename": "1.jpg", "sentences": [{"raw": "a"}, {"raw": "b"}]}]).encode())
    return root


def coco(root: Path) -> Path:
    images, captions = [{"id": 7, "file_name": "7.jpg"}], [{"image_id": 7, "caption": "a"}]
    write(root / "annotations/captions_val2017.json", json.dumps({"images": images, "annotations": captions}).encode())
    write(root / "val2017/7.jpg", image_file())
    return root


CASES: list[tuple[Callable[[Path], Path], dict[str, Any]]] = [
    (
        kaggle,
        {
            **{"format": "table", "caption": "caption", "image": "image", "images": "Images"},
            **{"divider": "comma", "quoting": "csv", "header": True},
        },
    ),
    (
        table,
        {"format": "table", "caption": "0", "url": "1", "divider": "tab", "quoting": "none", "header": False},
    ),
    (dotted, {"format": "webdataset", "image": "in.jpg", "caption": "out.txt"}),
    (lists, {"format": "table", "caption": "sentences", "image": "filename"}),
    (coco, {"format": "coco", "images": "val2017"}),
]


@pytest.mark.parametrize(("make", "expected"), CASES)
def test_the_config_has_what_was_found_out_and_reads_it_back(
    run: Run, tmp_path: Path, make: Callable[[Path], Path], expected: dict[str, Any]
) -> None:
    source = make(tmp_path / "in")
    found, _, pieces = look(run, source)
    if "images" in expected:
        expected = {**expected, "images": str(source / expected["images"])}
    already = {"format"} if run.config(ingest={"source": str(source)}).ingest.format != "auto" else set()
    assert {**found, "format": expected["format"]} == expected and ("format" in found or already)
    again, _, same = look(run, source, **found)
    assert same == pieces and set(again) <= {"format"}


def test_a_person_sees_how_it_is_read_and_the_first_three_pairs(run: Run, tmp_path: Path) -> None:
    _, lines, _ = look(run, kaggle(tmp_path / "in"))
    folder = tmp_path / "in"
    size = f"({WIDTH} x {HEIGHT})"
    assert lines == [
        f"source     {folder}: table, 1 file",
        "  captions.txt: divider comma, quoting csv, header, caption = 'caption', image = 'image', images in "
        f"{folder}/Images",
        "first pairs",
        *(f"  captions.txt#{n}: 'caption, {n}', {folder}/Images/{n}.jpg {size}" for n in (1, 2, 3)),
    ]


def test_captions_alone_have_no_folder_of_images(run: Run, tmp_path: Path) -> None:
    _, lines, _ = look(run, table(tmp_path / "in"))
    assert lines[1] == "  a.tsv: divider tab, quoting none, no header, caption = '0', url = '1'"


def test_a_person_sees_that_nothing_can_be_used(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"image": "no.jpg", "caption": "a"}\n{broken\n')
    assert look(run, Path(path))[1][-1] == "  none of the first 200 rows can be used"


def test_files_that_are_read_differently_leave_the_config_open(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/a.csv", b"caption,n\na,1\n")
    write(tmp_path / "in/b.tsv", b"text\tlink\na\thttp://x\n")
    write(tmp_path / "in/c.parquet", b"PAR1 nothing")
    found, lines, _ = look(run, tmp_path / "in")
    assert found == {"format": "table", "header": True}
    assert [line.partition(":")[0] for line in lines[1:4]] == ["  a.csv", "  b.tsv", "  c.parquet"]
    assert "cannot be read" in lines[3]


def test_many_files_are_not_all_described(run: Run, tmp_path: Path) -> None:
    for number in range(9):
        write(tmp_path / f"in/{number}.csv", b"caption,n\na,1\n")
    _, lines, _ = look(run, tmp_path / "in")
    assert lines[6] == "  ... and 4 more files" and len(lines) == 11


def test_an_option_that_was_given_stays(run: Run, tmp_path: Path) -> None:
    found, _, _ = look(run, kaggle(tmp_path / "in"), caption="caption", divider="comma")
    assert "caption" not in found and "divider" not in found and found["image"] == "image"


def test_what_a_source_has_and_nobody_reads(run: Run, tmp_path: Path) -> None:
    kaggle(tmp_path / "in")
    for name in ("README.md", "a.bin", "b.bin", "c.xml"):
        write(tmp_path / "in" / name, b"x")
    write(tmp_path / "in/captions.txt", b"image,caption,score,\n1.jpg,a,0.5,1\n")
    stage = IngestStage(run.config(ingest={"source": str(tmp_path / "in")}))
    stage.plan(run.io(), 100)
    assert stage.unused == {"files (.bin, .md, .xml)": 4, "column (score)": 1}
    write(tmp_path / "in/captions.txt", b"url,caption\nhttp://x,a\n")
    stage.plan(run.io(), 100)
    assert stage.unused == {"files (.bin, .jpg, .md, .xml)": 8}
