"""Images from anywhere become upright RGB, as Pillow decodes and turns them, or a reason."""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.images import decode_grey, decode_rgb, inspect, upright_file
from stages.stage import RowError
from tests.stages import image_files
from tests.stages.image_files import HEIGHT, WIDTH, image_file, pixels

LIMIT = 1_000_000


def reason(data: bytes, call: Callable[[bytes, int], Any] = decode_rgb) -> str:
    with pytest.raises(RowError) as caught:
        call(data, LIMIT)
    return caught.value.reason


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(9))
def test_upright_as_pillow_turns_them(format: str, orientation: int) -> None:
    data = image_file(format, orientation=orientation)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    found = decode_rgb(data, LIMIT)
    assert found.dtype == np.uint8 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)
    info = inspect(data, LIMIT)
    assert (info.height, info.width) == expected.shape[:2]
    assert (info.orientation, info.format) == (orientation or 1, {"JPEG": "jpg"}.get(format, format.lower()))
    assert info.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "data",
    [
        image_file("JPEG", "CMYK"),
        image_file("JPEG", "L"),
        image_file("JPEG", progressive=True),
        image_file("PNG", "L"),
        image_file("PNG", "1"),
        image_file("PNG", "P"),
        image_file("PNG", interlace=True),
        image_file("WEBP", lossless=True),
        image_file() + b"trailing data \xff\xd8\xff",
        image_file("PNG") + b"\0" * 100,
        image_file("WEBP") + b"more",
    ],
)
def test_what_decodes_to_rgb_comes_through(data: bytes) -> None:
    found = decode_rgb(data, LIMIT)
    assert found.shape == (HEIGHT, WIDTH, 3)
    info = inspect(data, LIMIT)
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [0, 3, 6])
def test_a_small_grey_image_is_that_of_the_whole(format: str, orientation: int) -> None:
    """Of an image from which a JPEG's decoder leaves out three quarters of the pixels."""
    image = Image.fromarray(pixels(320, 240))
    exif = Image.Exif()
    exif[0x0112] = orientation or 1
    data = image_files.save(image, format, exif=exif)
    grey = Image.fromarray(decode_rgb(data, LIMIT)).convert("L").resize((32, 32), Image.Resampling.BOX)
    found = decode_grey(data, LIMIT, 32)
    assert found.shape == (32, 32) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.asarray(grey)).mean() < 2


def test_a_grey_image_with_a_transparent_level_is_laid_over_white() -> None:
    data = image_files.save(Image.new("L", (40, 40), 7), "PNG", transparency=7)
    assert (decode_grey(data, LIMIT, 8) == 255).all()


def test_a_small_grey_image_is_checked_as_any_other() -> None:
    def small(data: bytes, limit: int) -> Any:
        return decode_grey(data, limit, 16)

    assert reason(b"", small) == "empty_image" and reason(image_files.bomb(), small) == "image_too_large"
    assert reason(image_file()[:-40], small) == reason(image_file()[:-40]) == "truncated_image"


def test_cmyk_keeps_its_colours() -> None:
    assert (
        np.abs(decode_rgb(image_file("JPEG", "CMYK", quality=95), LIMIT)[2, 2].astype(int) - pixels()[2, 2]).max() < 12
    )


def test_sixteen_bits_keep_their_high_byte() -> None:
    assert decode_rgb(image_files.grey16(0x80FF), LIMIT).tolist() == [[[0x80] * 3] * 4] * 4
    row = b"\0" + struct.pack(">HHH", 0x1234, 0xFFFF, 0x0001) * 2
    assert decode_rgb(image_files.png(2, 2, 16, 2, row * 2), LIMIT)[0, 0].tolist() == [0x12, 0xFF, 0x00]


def test_transparency_is_laid_over_white() -> None:
    image = Image.fromarray(pixels()).convert("RGBA")
    image.putalpha(0)
    assert (decode_rgb(image_files.save(image, "PNG"), LIMIT) == 255).all()
    image.putalpha(128)
    expected = (pixels()[0, 0] * (128 / 255) + 255 * (127 / 255)).round()
    assert np.abs(decode_rgb(image_files.save(image, "PNG"), LIMIT)[0, 0] - expected).max() <= 1
    palette = Image.fromarray(pixels()).quantize(4)
    found = decode_rgb(image_files.save(palette, "PNG", transparency=palette.getpixel((0, 0))), LIMIT)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, -1].tolist() == pixels()[0, -1].tolist()
    grey = Image.fromarray(pixels()).convert("LA")
    assert (decode_rgb(image_files.save(grey, "WEBP", lossless=True), LIMIT)[0, 0] == grey.getpixel((0, 0))[0]).all()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty_image"),
        (b"<html>404 not found</html>", "not_an_image"),
        (bytes(1000), "not_an_image"),
        (image_file("GIF"), "unsupported_format"),
        (image_files.animated("GIF"), "unsupported_format"),
        (image_file("BMP"), "unsupported_format"),
        (image_file("TIFF"), "unsupported_format"),
        (image_files.isobmff(b"avif"), "unsupported_format"),
        (image_files.isobmff(b"heic"), "unsupported_format"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "unsupported_format"),
        (image_files.animated("PNG"), "animated_image"),
        (image_files.animated("WEBP"), "animated_image"),
        (image_files.bomb(), "image_too_large"),
        (image_file()[:-2], "truncated_image"),
        (image_file()[:100], "truncated_image"),
        (image_file()[:3], "truncated_image"),
        (image_file("PNG")[:-12], "truncated_image"),
        (image_file("PNG")[:20], "truncated_image"),
        (image_file("WEBP")[:-8], "truncated_image"),
        (image_file("WEBP")[:16], "truncated_image"),
    ],
)
def test_reasons_are_the_same_with_and_without_decoding(data: bytes, expected: str) -> None:
    assert (reason(data, inspect), reason(data, decode_rgb)) == (expected, expected)


def test_a_bomb_is_refused_from_its_header() -> None:
    data = image_files.bomb()
    assert len(data) < 100_000
    assert reason(data) == "image_too_large"
    assert decode_rgb(image_file(), WIDTH * HEIGHT).size
    with pytest.raises(RowError, match="image_too_large"):
        decode_rgb(image_file(), WIDTH * HEIGHT - 1)


def test_damage_that_only_decoding_finds() -> None:
    whole = bytearray(image_file("PNG"))
    start = whole.index(b"IDAT") + 4
    whole[start + 3 : start + 20] = bytes(17)
    assert inspect(bytes(whole), LIMIT).width == WIDTH
    assert reason(bytes(whole)) == "truncated_image"


def test_the_end_marker_of_a_scan_is_found_before_trailing_data_that_looks_like_images() -> None:
    data = image_file() + image_file()
    assert decode_rgb(data, LIMIT).shape == (HEIGHT, WIDTH, 3)


def test_real_photos_agree_with_pillow(shared: Path) -> None:
    paths = sorted((shared / "coco-mini/images").glob("*.jpg"))[:12]
    assert len(paths) == 12
    for path in paths:
        data = path.read_bytes()
        with Image.open(path) as image:
            expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        np.testing.assert_array_equal(decode_rgb(data, 10**8), expected)
        info = inspect(data, 10**8)
        assert (info.height, info.width) == expected.shape[:2]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_upright_file_needs_no_turn(format: str, orientation: int) -> None:
    lossless = {"lossless": True} if format == "WEBP" else {"quality": 95} if format == "JPEG" else {}
    data = image_file(format, orientation=orientation, **lossless)
    again = upright_file(data, WIDTH * HEIGHT)
    assert (again == data) == (orientation == 1)
    info = inspect(again, WIDTH * HEIGHT)
    assert (info.format, info.orientation) == (inspect(data, WIDTH * HEIGHT).format, 1)
    with Image.open(io.BytesIO(again)) as plain:
        seen = np.asarray(plain.convert("RGB")).astype(int)
    difference = np.abs(seen - decode_rgb(data, WIDTH * HEIGHT))
    assert difference.mean() < (2 if format == "JPEG" else 1e-9)


def test_an_upright_file_keeps_the_colour_profile_of_rgb_and_nothing_else() -> None:
    rgb, cmyk = (bytes(16) + space + bytes(200) for space in (b"RGB ", b"CMYK"))
    packet = b'<x:xmpmeta xmlns:tiff="http://ns.adobe.com/tiff/1.0/"><r tiff:Orientation="6"/></x:xmpmeta>'
    turned_by_xmp = image_file(icc_profile=rgb, xmp=packet, comment=b"by hand")
    with Image.open(io.BytesIO(upright_file(turned_by_xmp, WIDTH * HEIGHT))) as again:
        assert again.size == (HEIGHT, WIDTH) and again.info["icc_profile"] == rgb
        assert not again.getexif() and not {"xmp", "comment"} & again.info.keys()
    with Image.open(io.BytesIO(upright_file(image_file(mode="CMYK", orientation=3, icc_profile=cmyk), 1000))) as again:
        assert again.mode == "RGB" and "icc_profile" not in again.info


def test_an_upright_file_is_not_made_of_a_damaged_one() -> None:
    for orientation in (1, 6):
        with pytest.raises(RowError, match="truncated_image"):
            upright_file(image_file(orientation=orientation)[:-30], WIDTH * HEIGHT)
