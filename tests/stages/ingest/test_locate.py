"""Where the image of a row is: below the declared folder, in the row itself, or nowhere."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from stages.ingest.locate import Found, find_image, locate, plain_name
from stages.stage import ImageRef, RowError
from tests.stages.image_files import image_file

JPEG = image_file()
TEXT = base64.b64encode(JPEG).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, Found()),
        ("", Found()),
        (float("nan"), Found()),
        (JPEG, Found(data=JPEG)),
        (bytearray(JPEG), Found(data=JPEG)),
        (TEXT, Found(data=JPEG)),
        ("data:image/jpeg;base64," + TEXT, Found(data=JPEG)),
        ({"bytes": JPEG, "path": "a.jpg"}, Found(data=JPEG)),
        ({"bytes": None, "path": "a.jpg"}, Found(image=ImageRef("root/a.jpg"))),
        ({"path": None}, Found()),
        ("https://x.example/a.jpg", Found(url="https://x.example/a.jpg")),
        ("/9j/short.jpg", RowError("image_read_refused")),  # too short for an image in base64, and no relative path
        ("sub/a.jpg", Found(image=ImageRef("root/sub/a.jpg"))),
        (TEXT[:-3] + "!!!", RowError("bad_record")),
        ("data:image/png;base64,!", RowError("bad_record")),
        (7, RowError("bad_record")),
        ([JPEG], RowError("bad_record")),
    ],
)
def test_what_a_cell_names_or_holds(value: Any, expected: Found | RowError) -> None:
    if isinstance(expected, RowError):
        with pytest.raises(RowError) as error:
            find_image(value, "root")
        assert error.value.reason == expected.reason
    else:
        assert find_image(value, "root") == expected


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a.jpg", "/in/a.jpg"),
        ("a.jpg#3", "/in/a.jpg"),
        ("a#3", "/in/a#3"),
        (" a.jpg ", "/in/a.jpg"),
        ("sub\\deep\\a b.jpg", "/in/sub/deep/a b.jpg"),
        ("/in/sub/a.jpg", "/in/sub/a.jpg"),
        ("ü/🐕.jpg", "/in/ü/🐕.jpg"),
        ("..a/b..c.jpg", "/in/..a/b..c.jpg"),
    ],
)
@pytest.mark.parametrize("root", ["/in", "/in/"])
def test_a_name_is_a_file_below_the_folder(name: str, uri: str, root: str) -> None:
    assert locate(name, root) == ImageRef(uri)


def test_a_folder_may_be_a_uri() -> None:
    assert locate("a.jpg", "s3://bucket/in") == ImageRef("s3://bucket/in/a.jpg")


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../a.jpg", "x/../../a", "..\\a.jpg", "/in2/a.jpg", "~/a.jpg", "C:\\a.jpg", "file:///a.jpg",
     "s3://other/a.jpg", "a\0.jpg", "x" * 256, "x/" * 600, "\ud800.jpg"],
)  # fmt: skip
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(RowError) as error:
        locate(name, "/in")
    assert error.value.reason == "image_read_refused"


def test_the_number_of_a_caption_is_no_part_of_the_name() -> None:
    assert [plain_name(name) for name in ("1.jpg#0", "a\\b.png#12", "1.jpg#x", "#1")] == [
        "1.jpg",
        "a/b.png",
        "1.jpg#x",
        "#1",
    ]
