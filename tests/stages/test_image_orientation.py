"""The orientation is that of Pillow's `exif_transpose`, wherever and however it is written."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.image_orientation import exif_orientation, orientation
from stages.images import decode_rgb, inspect
from tests.stages.image_files import image_file, jpeg_with, png_with, webp_with

XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'
# TIFF's types: bytes of one value, and how a small number is written in it.
TYPES = {
    1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I",
    16: "Q", 99: "H",
}  # fmt: skip


def exif(*entries: tuple[int, int, bytes], order: str = ">") -> bytes:
    """A TIFF block of (type, count, value) entries, all of them for the tag Orientation; long values behind them."""
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, len(entries))
    behind, place, body = b"", len(head) + 12 * len(entries) + 4, b""
    for kind, count, value in entries:
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field, behind = struct.pack(order + "I", place + len(behind)), behind + value
        body += struct.pack(order + "HHI", 0x0112, kind, count) + field
    return head + body + bytes(4) + behind


def value(kind: int, number: int, order: str) -> bytes:
    code = TYPES[kind]
    return struct.pack(order + code, *([number, 1] if len(code) == 2 else [number]))


def check(data: bytes) -> int:
    """Pixels and recorded size are Pillow's; returns the orientation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd EXIF blocks
        with Image.open(io.BytesIO(data)) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    info = inspect(data, 10**6)
    assert (info.height, info.width) == expected.shape[:2]
    np.testing.assert_array_equal(decode_rgb(data, 10**6), expected)
    return info.orientation


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_value(kind: int, order: str) -> None:
    found = [
        check(jpeg_with((0xE1, b"Exif\0\0" + exif((kind, 1, value(kind, number, order)), order=order))))
        for number in (0, 3, 6, 8, 9)
    ]
    assert found == ([1, 1, 1, 1, 1] if kind in (1, 2, 7, 99) else [1, 3, 6, 8, 1])


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([(3, 2, b"\0\x06\0\x03")], 6),  # the first of several values
        ([(3, 3, b"\0\x06\0\x03\0\x01")], 6),  # which lie elsewhere
        ([(99, 1, b"\0\x06\0\0"), (3, 1, b"\0\x08\0\0")], 8),  # a type that nobody knows does not count
        ([(3, 0, b"\0\x06\0\0"), (3, 1, b"\0\x08\0\0")], 8),
        ([(3, 1, b"\0\x06\0\0"), (3, 1, b"\0\x08\0\0")], 6),
        ([(5, 1, struct.pack(">II", 12, 2))], 6),
        ([(5, 1, struct.pack(">II", 13, 2))], 1),
        ([(5, 1, struct.pack(">II", 6, 0))], 1),
        ([(4, 1 << 30, b"\0\0\0\x06")], 1),
    ],
)
def test_odd_entries(entries: list[tuple[int, int, bytes]], expected: int) -> None:
    assert check(jpeg_with((0xE1, b"Exif\0\0" + exif(*entries)))) == expected


def test_a_block_in_two_segments() -> None:
    block = exif((3, 1, b"\0\x06\0\0"))
    assert check(jpeg_with((0xE1, b"Exif\0\0" + block[:12]), (0xE1, b"Exif\0\0" + block[12:]))) == 6


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("form", [XMP, b"<tiff:Orientation>%d</tiff:Orientation>"])
def test_xmp_alone(form: bytes, number: int) -> None:
    packet = form % number
    text = b"XML:com.adobe.xmp\0"
    files = [
        jpeg_with((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet)),
        png_with((b"iTXt", text + b"\0\0\0\0" + packet)),
        png_with((b"iTXt", text + b"\1\0en\0\0" + zlib.compress(packet))),
        png_with((b"tEXt", text + packet)),
        png_with((b"zTXt", text + b"\0" + zlib.compress(packet))),
        webp_with(4, (b"XMP ", packet)),
    ]
    assert [check(data) for data in files] == [number if 1 <= number <= 8 else 1] * len(files)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (exif((3, 1, b"\0\x06\0\0")), 6),  # EXIF comes first
        (exif((3, 1, b"\0\0\0\0")), 1),  # also where it says nothing
        (exif((7, 1, b"\x06\0\0\0")), 1),
        (exif((99, 1, b"\0\x06\0\0")), 8),
        (exif(), 8),
    ],
)
def test_exif_before_xmp(block: bytes, expected: int) -> None:
    xmp = (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % 8)
    assert check(jpeg_with(xmp, (0xE1, b"Exif\0\0" + block))) == expected
    assert check(webp_with(12, (b"EXIF", block), (b"XMP ", XMP % 8))) == expected


def test_webp_counts_what_its_flags_say_and_the_first_of_two() -> None:
    block, other = exif((3, 1, b"\0\x06\0\0")), exif((3, 1, b"\0\x03\0\0"))
    assert check(webp_with(0, (b"EXIF", block))) == 1
    assert check(webp_with(8, (b"EXIF", block), (b"EXIF", other))) == 6
    assert check(webp_with(8, (b"EXIF", b"Exif\0\0" + block))) == 6


def test_the_profile_that_imagemagick_writes_into_png() -> None:
    block = b"Exif\0\0" + exif((3, 1, b"\0\x06\0\0"))
    text = b"Raw profile type exif\0" + b"%s\nexif\n%8d\n%s\n"
    plain = text % (b"", len(block), block.hex().encode())
    keyword, _, profile = plain.partition(b"\0")
    assert check(png_with((b"tEXt", plain))) == 6
    assert check(png_with((b"zTXt", keyword + b"\0\0" + zlib.compress(profile)))) == 6
    assert inspect(png_with((b"tEXt", text % (b"", 9, b"no hex"))), 10**6).orientation == 1


@pytest.mark.parametrize(
    "block",
    [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + bytes(30), b"garbage" * 9],
)
def test_a_broken_block_says_nothing(block: bytes) -> None:
    assert exif_orientation(block) is None
    assert (orientation(block, b""), orientation(block, XMP % 3)) == (1, 3)


def test_a_text_chunk_is_not_unpacked_without_end() -> None:
    packer = zlib.compressobj(9)
    bomb = packer.compress(bytes(200 << 20)) + packer.flush()
    data = png_with((b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb))
    assert inspect(data, 10**6).orientation == 1


STRAY: list[Callable[[int], bytes]] = [
    lambda length: bytes(length),
    lambda length: b"\x00\xff" * length,
    lambda length: b"\xff\x00" * length,
    lambda length: b"\xff" * length,
    lambda length: b"\r\n" * length,
    lambda length: b"\xff\x00\x11\xff\xff" * length,
]


@pytest.mark.parametrize("make", STRAY)
@pytest.mark.parametrize("length", [1, 2, 11, 999])
def test_stray_bytes_between_segments_are_skipped(make: Callable[[int], bytes], length: int) -> None:
    whole = image_file(orientation=6)
    places = [2]
    while whole[places[-1] + 1] != 0xDA:
        places.append(places[-1] + 2 + struct.unpack_from(">H", whole, places[-1] + 2)[0])
    assert len(places) > 5
    for place in places[1:]:  # Pillow wants the first marker where it belongs
        data = whole[:place] + make(length).removesuffix(b"\xff") + whole[place:]
        assert check(data) == 6
