"""Headers of image files: what they say, also where they are damaged or lie."""

from __future__ import annotations

import struct

import pytest

from stages.image_headers import exif_orientation, read_header, sniff
from stages.images import decode_rgb
from stages.stage import RowError
from tests.stages import image_files
from tests.stages.image_files import HEIGHT, WIDTH, image_file


def test_a_thumbnail_in_the_exif_is_not_taken_for_the_end() -> None:
    thumbnail = image_file()
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0" + thumbnail
    app1 = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    whole = image_file()
    data = whole[:2] + app1 + whole[2:]
    assert read_header(data).width == WIDTH
    with pytest.raises(RowError, match="truncated_image"):
        read_header(data[:-40])


def test_png_orientation_after_the_pixels() -> None:
    exif = image_files.png_chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")
    whole = image_file("PNG")
    data = whole[:-12] + exif + whole[-12:]
    assert read_header(data).orientation == 6
    assert decode_rgb(data, WIDTH * HEIGHT).shape == (WIDTH, HEIGHT, 3)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + bytes(30),
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09\0\0\0",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x01\0\0\0\x06\0\0\0",
        b"garbage" * 9,
    ],
)
def test_a_broken_exif_block_turns_nothing(block: bytes) -> None:
    assert exif_orientation(block) == 1


def test_names_do_not_decide() -> None:
    assert [sniff(image_file(f)) for f in ("JPEG", "PNG", "WEBP", "GIF")] == ["jpg", "png", "webp", "GIF"]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_size_is_the_stored_one(format: str) -> None:
    """Before the orientation is applied: 6 turns by a quarter."""
    header = read_header(image_file(format, orientation=6))
    assert (header.width, header.height, header.orientation) == (WIDTH, HEIGHT, 6)
