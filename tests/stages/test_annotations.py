"""Annotation files: read without their segmentations, and what is wrong with one is one line that names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.storage.files import SourceFiles
from pipeline.storage.local import LocalStorage
from stages.annotations import read_json, reading
from stages.stage import UserError


@pytest.fixture
def files(tmp_path: Path) -> SourceFiles:
    return SourceFiles(LocalStorage(str(tmp_path / "run")))


def test_segmentations_are_left_out_at_any_depth(files: SourceFiles, tmp_path: Path) -> None:
    rows = [{"id": 1, "bbox": [0, 0, 5, 5], "segmentation": [[0] * 1000]}]
    (tmp_path / "gold.json").write_text(json.dumps({"annotations": rows, "segmentation": 1, "images": []}))
    found = read_json(files, str(tmp_path / "gold.json"), "train.gold")
    assert found == {"annotations": [{"id": 1, "bbox": [0, 0, 5, 5]}], "images": []}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("{", "is not a JSON file"),
        ("[1]", "holds no object"),
        ("[" * 100_000, "not a JSON file"),
    ],
)
def test_what_is_no_annotation_file_is_named(
    files: SourceFiles, tmp_path: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "gold.json").write_text(content)
    with pytest.raises(UserError, match=rf"evaluate\.data: .*gold\.json.*{words}"):
        read_json(files, str(tmp_path / "gold.json"), "evaluate.data")


def test_a_folder_is_no_annotation_file(files: SourceFiles, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read as a file"):
        read_json(files, str(tmp_path), "evaluate.data")


@pytest.mark.parametrize(
    ("error", "words"),
    [(KeyError("bbox"), "it has no 'bbox' where one belongs"), (ValueError("no number: seven"), "no number: seven")],
)
def test_a_row_that_lacks_something_is_an_error_of_the_file(error: Exception, words: str) -> None:
    with (
        pytest.raises(UserError, match=rf"train\.gold: x\.json is no COCO file: {words}"),
        reading("x.json", "COCO file", "train.gold"),
    ):
        raise error


def test_a_mistake_of_ours_is_not_the_files() -> None:
    with pytest.raises(ZeroDivisionError), reading("x.json", "COCO file", "train.gold"):
        _ = 1 / 0
