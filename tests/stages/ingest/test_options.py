"""An option that a source cannot use is an error that names it; one that it can is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.config import IngestConfig
from stages.ingest import options
from stages.stage import UserError
from tests.stages.conftest import Run
from tests.stages.image_files import image_file
from tests.stages.tars import sample, tar, write

VALUES: dict[str, Any] = {
    **{"split": "eval", "seed": 1, "caption": "x", "image": "x", "url": "x", "id": "x", "divider": "tab"},
    **{"quoting": "csv", "header": True, "images": "/x", "instances": "/x"},
}
FORMATS = {
    "scenes": {"split", "seed"},
    "webdataset": {"caption", "image"},
    "table": {"caption", "image", "url", "id", "divider", "quoting", "header", "images"},
    "grit": {"caption", "image", "url", "id", "divider", "quoting", "header", "images"},
    "coco": {"images", "instances"},
    "folder": set(),
    "odvg": {"images"},
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", VALUES)
def test_each_option_is_used_or_refused(format: str, name: str) -> None:
    config = IngestConfig(source="/s", **{name: VALUES[name]})
    if name in FORMATS[format]:
        options.check_options(config, format)
        return
    with pytest.raises(UserError, match=rf"ingest\.{name}: the source /s is read as {format}, which does not use"):
        options.check_options(config, format)


def test_every_field_is_judged() -> None:
    everywhere = {"source", "format", "count", "max_pixels", "min_image_side", "max_caption_chars"}
    assert set(VALUES) | everywhere == set(IngestConfig.model_fields)


@pytest.mark.parametrize(
    ("name", "option", "data"),
    [
        ("a.jsonl", {"divider": "tab"}, b'{"caption": "a"}\n'),
        ("a.json", {"header": True}, b'[{"caption": "a"}]\n'),
        ("a.csv", {"quoting": "none"}, b'[{"caption": "a"}]\n'),
        ("a.csv", {"seed": 1}, b"caption,n\na,1\n"),
        ("a.csv", {"instances": "x.json"}, b"caption,n\na,1\n"),
        ("a.tar", {"images": "/x"}, tar(*sample("0"))),
        ("a.tar", {"url": "url"}, tar(*sample("0"))),
        ("captions.json", {"caption": "x"}, json.dumps({"annotations": [{"caption": "a", "image_id": 1}]}).encode()),
    ],
)
def test_what_was_found_out_counts_too(
    run: Run, tmp_path: Path, name: str, option: dict[str, Any], data: bytes
) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(UserError, match=rf"ingest\.{next(iter(option))}: "):
        run.ingest(source=path, **option)


def test_a_folder_of_images_has_no_columns(run: Run, tmp_path: Path) -> None:
    write(tmp_path / "in/0.jpg", image_file())
    write(tmp_path / "in/0.txt", b"a")
    with pytest.raises(UserError, match=r"ingest\.caption: .* is read as folder"):
        run.ingest(source=str(tmp_path / "in"), caption="txt")


def test_scenes_take_no_columns(run: Run) -> None:
    with pytest.raises(UserError, match=r"ingest\.divider: the source scenes is read as scenes"):
        run.ingest(source="scenes", count=1, divider="tab")
