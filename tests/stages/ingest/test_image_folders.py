"""Images are looked for where people have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.ingest.image_folders import ImageFolders
from stages.ingest.listing import Unclear
from stages.stage import SourceFile
from tests.stages.conftest import DiskIO

NAMES = ["1.jpg", "2.jpg", "3.jpg"]


def find(root: Path, *there: str, table: str = "t.csv", names: list[str] = NAMES, listed: bool = False) -> str:
    """The folder found, below the root; `there`: files that are. `listed`: the source is the root itself."""
    for name in there:
        path = root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    io = DiskIO(root)
    source = str(root / "in")
    file = f"{source}/{table}"
    found = (source, io.list_source(source)) if listed else (file, [SourceFile(file, 1)])
    where = ImageFolders(io, *found).find(names, file)
    return where.removeprefix(source).strip("/") if where else "none"


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize(
    ("there", "table", "expected"),
    [
        (["1.jpg", "2.jpg", "Images/1.jpg"], "t.csv", ""),
        (["Images/1.jpg", "Images/2.jpg"], "t.csv", "Images"),
        (["train2017/1.jpg"], "annotations/captions_train2017.json", "train2017"),
        (["images/val/1.jpg"], "annotations/captions_val.json", "images/val"),
        (["t/1.jpg"], "t.csv", "t"),
        (["Flicker8k_Dataset/1.jpg"], "text/t.txt", "Flicker8k_Dataset"),
        (["images/1.jpg", "images/2.jpg", "photos/1.jpg"], "t.csv", "images"),
        (["Images/9.jpg"], "t.csv", "none"),
        (["a/images/1.jpg", "images/1.jpg"], "a/t.csv", "a/images"),
    ],
)
def test_the_folder_that_has_most_of_the_images(
    tmp_path: Path, there: list[str], table: str, expected: str, listed: bool
) -> None:
    assert find(tmp_path, *there, table, table=table, listed=listed) == expected


def test_any_folder_of_a_source(tmp_path: Path) -> None:
    assert find(tmp_path, "some/where/sub/1.jpg", "t.csv", names=["sub\\1.jpg#0"], listed=True) == "some/where"
    assert find(tmp_path, "t.csv", names=["sub/1.jpg"]) == "none"  # a file alone has no folder to search


@pytest.mark.parametrize("listed", [True, False])
def test_two_folders_ask(tmp_path: Path, listed: bool) -> None:
    with pytest.raises(Unclear, match=r"its images are in .*images and .*photos; set ingest\.images to one"):
        find(tmp_path, "images/1.jpg", "photos/1.jpg", "t.csv", listed=listed)


@pytest.mark.parametrize("listed", [True, False])
def test_names_from_the_folder_above(tmp_path: Path, listed: bool) -> None:
    assert (
        find(tmp_path, "pictures/1.jpg", "text/t.csv", table="text/t.csv", names=["pictures/1.jpg"], listed=listed)
        == ""
    )


def test_whole_paths_below_the_source(tmp_path: Path) -> None:
    names = [f"{tmp_path}/in/pictures/1.jpg"]
    assert find(tmp_path, "pictures/1.jpg", "text/t.csv", table="text/t.csv", names=names, listed=True) == ""


def test_no_name_leads_out(tmp_path: Path) -> None:
    assert find(tmp_path, "../secret/1.jpg", names=["../secret/1.jpg", "/etc/passwd", "\0"]) == "none"
