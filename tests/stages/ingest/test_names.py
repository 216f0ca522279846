"""What the names of files tell."""

from __future__ import annotations

import pytest

from stages.ingest.names import (
    base_name,
    below,
    folder_of,
    folders_of_captions,
    is_image,
    stem,
    suffix_of,
    without_suffix,
)


@pytest.mark.parametrize(
    ("uri", "base", "folder", "suffix", "own"),
    [
        ("s3://b/x/a.b.JPG", "a.b.JPG", "s3://b/x", "jpg", "a.b"),
        ("a.txt", "a.txt", "", "txt", "a.txt"),
        ("x/README", "README", "x", "", "README"),
        ("x.y/a", "a", "x.y", "", "a"),
        ("x/dir/", "dir", "x", "", "dir"),
        ("x/.jpg", ".jpg", "x", "jpg", ""),
    ],
)
def test_the_parts_of_a_name(uri: str, base: str, folder: str, suffix: str, own: str) -> None:
    assert (base_name(uri), folder_of(uri), suffix_of(uri), stem(uri)) == (base, folder, suffix, own)


@pytest.mark.parametrize(
    ("name", "expected"), [("a.jpeg", True), ("a.GIF", True), ("jpg", False), ("a.jpg.txt", False), ("a.img", True)]
)
def test_which_files_are_images(name: str, expected: bool) -> None:
    assert is_image(name) is expected


def test_a_suffix_is_taken_off() -> None:
    assert without_suffix("x.y/a.b.TXT") == "x.y/a.b"


@pytest.mark.parametrize(
    ("uri", "source", "expected"),
    [
        ("/in/x/a.csv", "/in", "x/a.csv"),
        ("/in/x/a.csv", "/in/", "x/a.csv"),
        ("/in/a.csv", "/in/a.csv", "a.csv"),
        ("s3://b/in/a.csv", "s3://b/in", "a.csv"),
    ],
)
def test_ids_begin_with_the_path_below_the_source(uri: str, source: str, expected: str) -> None:
    assert below(uri, source) == expected


@pytest.mark.parametrize(
    ("images", "captions", "expected"),
    [
        (["in/images/0.jpg", "in/images/1.jpg"], ["in/text/0.txt"], {"in/text": "in/images"}),
        (["in/images/0.jpg"], ["in/text/9.txt"], {}),  # no name agrees
        (["in/0.jpg"], ["in/0.txt"], {}),  # side by side
        (["in/a/0.jpg", "in/b/0.jpg"], ["in/text/0.txt"], {}),  # which one?
        (["in/a/0.jpg"], ["in/text/0.txt", "in/more/0.txt"], {}),
        (
            ["train/images/0.jpg", "val/images/0.jpg"],
            ["train/text/0.txt", "val/text/0.txt"],
            {"train/text": "train/images", "val/text": "val/images"},
        ),
        ([], [], {}),
    ],
)
def test_folders_of_captions_belong_to_one_folder_of_images(
    images: list[str], captions: list[str], expected: dict[str, str]
) -> None:
    assert folders_of_captions(images, captions) == expected
