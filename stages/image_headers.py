"""What an image file says of itself before a pixel is decoded: format, size, EXIF orientation, and whether it is whole.

Only JPEG, PNG and WebP are read. Nothing here allocates by a size that the file claims.

Written by hand because input is hostile: Pillow opens many more formats, and finds out that a file is cut off only by
decoding it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from stages.stage import RowError

Carried = Literal["jpg", "png", "webp"]

_PNG = b"\x89PNG\r\n\x1a\n"
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpg"),
    (_PNG, "png"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"<svg", "SVG"),
    (b"%PDF-", "PDF"),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"heif": "HEIC", b"mif1": "HEIF"}
_JPEG_DECODABLE = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended, progressive, and the two with arithmetic coding
_JPEG_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}


@dataclass(frozen=True)
class Header:
    """`width`, `height`: as stored, before the EXIF orientation (1..8) is applied."""

    format: Carried
    width: int
    height: int
    orientation: int = 1


def sniff(data: bytes) -> str:
    """The format's name by its first bytes ("jpg", "png" and "webp" for those that shards carry), or "" if unknown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "")
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    start = data[:1024].lstrip()
    return "SVG" if start.startswith((b"<?xml", b"<!--")) and b"<svg" in start else ""


def read_header(data: bytes) -> Header:
    """Raises RowError: empty_image, not_an_image, unsupported_format, animated_image or truncated_image."""
    if not data:
        raise RowError("empty_image")
    name = sniff(data)
    readers = {"jpg": _read_jpeg, "png": _read_png, "webp": _read_webp}
    if name not in readers:
        raise RowError("unsupported_format", name) if name else RowError("not_an_image", f"begins with {data[:12]!r}")
    try:
        header = readers[name](data)
    except (struct.error, IndexError) as error:
        raise RowError("truncated_image", "the header is cut off") from error
    if header.width < 1 or header.height < 1:
        raise RowError("truncated_image", f"the header says {header.width} x {header.height} pixels")
    return header


def _read_jpeg(data: bytes) -> Header:
    """Walks the segments up to the first scan; the scan must be followed by an end marker, whatever comes after it."""
    position, size, orientation = 2, (0, 0), 0
    while True:
        if data[position] != 0xFF:
            raise RowError("truncated_image", f"no JPEG marker at byte {position}")
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = data[position + 1]
        position += 2
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            continue
        if marker == 0xD9:
            raise RowError("truncated_image", "the JPEG ends before its first scan")
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise RowError("truncated_image", f"a JPEG segment of length {length} at byte {position}")
        if marker in _JPEG_DECODABLE:
            size = _jpeg_size(data, position)
        elif marker in _JPEG_OTHER_FRAMES:
            raise RowError("unsupported_format", f"a JPEG of a rare kind (frame marker {marker:02X})")
        elif marker == 0xE1 and not orientation and data[position + 2 : position + 8] == b"Exif\0\0":
            orientation = exif_orientation(data[position + 8 : position + length])
        position += length
        if marker == 0xDA:
            break
    if data.find(b"\xff\xd9", position) < 0:
        raise RowError("truncated_image", "the JPEG has no end marker")
    return Header("jpg", *size, orientation or 1)


def _jpeg_size(data: bytes, position: int) -> tuple[int, int]:
    precision, height, width, bands = struct.unpack_from(">BHHB", data, position + 2)
    if precision != 8 or bands not in (1, 3, 4):
        raise RowError("unsupported_format", f"a JPEG with {precision} bits and {bands} components")
    return width, height


def _read_png(data: bytes) -> Header:
    """Walks the chunks up to IEND, whatever comes after it."""
    width, height = struct.unpack_from(">II", data, 16)
    if data[12:16] != b"IHDR":
        raise RowError("truncated_image", "the PNG does not begin with IHDR")
    position, orientation, pixels = 8, 1, False
    while True:
        if position + 12 > len(data):
            raise RowError("truncated_image", "the PNG has no end chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IEND":
            break
        if kind == b"acTL" and struct.unpack_from(">I", data, position + 8)[0] > 1:
            raise RowError("animated_image", "an animated PNG")
        if kind == b"eXIf":
            orientation = exif_orientation(data[position + 8 : position + 8 + length])
        pixels = pixels or kind == b"IDAT"
        position += 12 + length
    if not pixels:
        raise RowError("truncated_image", "the PNG has no pixel data")
    return Header("png", width, height, orientation)


def _read_webp(data: bytes) -> Header:
    (riff_length,) = struct.unpack_from("<I", data, 4)
    end = 8 + riff_length
    if end > len(data):
        raise RowError("truncated_image", f"the WebP says {end} bytes, there are {len(data)}")
    size, orientation, frames, position = _webp_size(data), 1, 0, 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            blob = data[position + 8 : position + 8 + length]
            orientation = exif_orientation(blob.removeprefix(b"Exif\0\0"))
        frames += kind == b"ANMF"
        position += 8 + length + length % 2
    if frames > 1:
        raise RowError("animated_image", f"an animated WebP of {frames} frames")
    return Header("webp", *size, orientation)


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[i : i + 3], "little") + 1 for i in (24, 27))
        return (width, height) if len(data) >= 30 else (0, 0)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    raise RowError("truncated_image", "the WebP has no readable frame header")


def exif_orientation(tiff: bytes) -> int:
    """The orientation, 1..8, of an EXIF block (from its TIFF header on); 1 where it gives none that is valid."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == 0x0112:
            return value if kind == 3 and 1 <= value <= 8 else 1
    return 1
