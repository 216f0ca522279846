"""Which column is what."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.config import IngestConfig
from stages.ingest.listing import Unclear
from stages.ingest.roles import columns_of, find_columns, unread
from stages.stage import UserError


def roles(rows: list[dict[str, Any]], there: bool = False, **options: Any) -> dict[str, str]:
    """`there`: whether files of any names are found."""
    names = list(rows[0])
    return find_columns(names, rows, IngestConfig(**options), "t", lambda names: "/x" if there else "").to_json()


def table(header: str, *values: str, number: int = 4) -> list[dict[str, Any]]:
    """Rows of a header; `%d` in a value counts them."""
    return [
        {name: value % n if "%" in value else value for name, value in zip(header.split(","), values)}
        for n in range(number)
    ]


def test_a_column_without_a_name_has_no_role() -> None:
    """The index that pandas saves."""
    assert roles(table(",image,caption", "%d", "%d.jpg", "a")) == {"caption": "caption", "image": "image"}
    assert roles(table("caption, ", "a", "%d")) == {"caption": "caption"}
    assert roles(table("Unnamed: 0,caption", "%d", "a")) == {"caption": "caption"}
    assert roles(table("__index_level_0__,caption", "%d", "a")) == {"caption": "caption"}


@pytest.mark.parametrize(("values", "kept"), [("%d", False), ("1%d", False), ("3", True), ("CC-BY %d", True)])
def test_running_numbers_are_no_licence(values: str, kept: bool) -> None:
    found = roles(table("caption,license", "a", values))
    assert found == {"caption": "caption"} | ({"license": "license"} if kept else {})


@pytest.mark.parametrize(
    "name",
    ["img", "image_name", "file_name", "filepath", "image_path", "jpg", "Image Name", "IMG_PATH", "images", "png"],
)
def test_usual_names_of_images(name: str) -> None:
    assert roles(table(f"{name},caption", "%d.jpg", "a"))["image"] == name


@pytest.mark.parametrize("name", ["Caption", " TEXT", "alt-text", "captions", "sentences", "raw", "comment", "title"])
def test_usual_names_of_captions(name: str) -> None:
    assert roles(table(f"{name},n", "a", "%d")) == {"caption": name}


def test_the_more_usual_name_is_the_caption() -> None:
    assert roles(table("title,caption,comment", "a", "b", "c")) == {"caption": "caption"}
    with pytest.raises(Unclear, match=r"'title' and 'comment' may be the caption; set ingest\.caption"):
        roles(table("title,comment", "a", "b"))
    with pytest.raises(UserError, match=r"no column is the caption; set ingest\.caption to one of 'words', 'n'"):
        roles(table("words,n", "a", "%d"))


def test_numbered_captions() -> None:
    rows = table("caption_1,caption_2,caption_x,n", "a", "b", "c", "%d")
    assert roles(rows) == {"caption": "caption_*"}
    assert roles(rows, caption="caption_2") == {"caption": "caption_2"}
    assert columns_of(["c10", "c9", "c", "cx", "d1"], "c*") == ["c9", "c10"]
    assert unread(list(rows[0]), find_columns(list(rows[0]), rows, IngestConfig(), "t")) == {"caption_x", "n"}
    with pytest.raises(UserError, match="no column is the caption"):
        roles(table("text1,comment2", "a", "b"))


def test_names_of_files_that_are_there_are_the_images() -> None:
    rows = table("photograph,caption", "%d.jpg#1", "a")
    assert roles(rows) == {"caption": "caption"}
    assert roles(rows, there=True)["image"] == "photograph"
    assert roles(rows, images="/x")["image"] == "photograph"
    assert "image" not in roles(rows, there=True, image="")
    assert "image" not in roles(table("link,caption", "http://x/%d.jpg", "a"), there=True)


def test_images_that_no_column_leads_to_are_asked_for() -> None:
    with pytest.raises(Unclear, match=r"no column names the image of a row; set ingest\.image \(or ingest\.id\)"):
        roles(table("photo_id,caption", "%d", "a"), images="/x")
    with pytest.raises(Unclear, match="'left' and 'right' name images"):
        roles(table("left,right,caption", "%d.jpg", "%d.png", "a"), images="/x")
    assert roles(table("key,caption", "%d", "a"), images="/x") == {"caption": "caption", "id": "key"}


def test_columns_of_one_name() -> None:
    rows = table("caption,n", "a", "%d")
    with pytest.raises(UserError, match=r"2 columns are called 'caption'; rename one \(caption\)"):
        find_columns(["caption", "caption"], rows, IngestConfig(), "t")
    assert find_columns(["caption", "n", "n"], rows, IngestConfig(), "t").caption == "caption"


def test_a_column_that_the_config_names_must_be_there() -> None:
    for option in ("caption", "image", "url", "id"):
        with pytest.raises(Unclear, match=rf"ingest\.{option}: t has no column 'nope'; it has 'caption', 'n'"):
            roles(table("caption,n", "a", "%d"), **{option: "nope"})


def test_columns_that_nothing_is_made_of() -> None:
    names = ["caption", "url", "similarity", "", "width"]
    columns = find_columns(names, [], IngestConfig(), "t")
    assert unread(names, columns) == {"similarity", "width"}
    assert unread([*names, "noun_chunks"], columns) == {"similarity"}
    downloaded = ["key", "status", "error_message", "caption", "sha256"]
    assert unread(downloaded, find_columns(downloaded, [], IngestConfig(), "t")) == {"sha256"}
