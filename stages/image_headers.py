"""What an image file says of itself before a pixel is decoded: format, size, orientation, and whether it is whole.

Only JPEG, PNG and WebP are read. Nothing here allocates by a size that the file claims.

Written by hand because input is hostile: Pillow opens many more formats, and finds out that a file is cut off only by
decoding it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from stages.image_orientation import orientation
from stages.stage import RowError

Carried = Literal["jpg", "png", "webp"]

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_TEXT_LIMIT = 1 << 20  # bytes of a text in a PNG, unpacked
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
    position, size, exif, xmp = 2, (0, 0), b"", b""
    while True:
        position = _next_marker(data, position)
        marker = data[position - 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a segment
            continue
        if marker == 0xD9:
            raise RowError("truncated_image", "the JPEG ends before its first scan")
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise RowError("truncated_image", f"a JPEG segment of length {length} at byte {position}")
        segment = data[position + 2 : position + length]
        if marker in _JPEG_DECODABLE:
            size = _jpeg_size(data, position)
        elif marker in _JPEG_OTHER_FRAMES:
            raise RowError("unsupported_format", f"a JPEG of a rare kind (frame marker {marker:02X})")
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0"):
            exif += segment[6:]  # a long block goes on in a second segment
        elif marker == 0xE1 and segment.startswith(_XMP):
            xmp = segment[len(_XMP) :]
        position += length
        if marker == 0xDA:
            break
    if data.find(b"\xff\xd9", position) < 0:
        raise RowError("truncated_image", "the JPEG has no end marker")
    return Header("jpg", *size, orientation(exif, xmp))


def _next_marker(data: bytes, position: int) -> int:
    """The byte after the next marker. What lies before it between segments is skipped, as decoders do."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0:
            raise RowError("truncated_image", "no further JPEG marker")
        while data[position] == 0xFF:  # fill bytes
            position += 1
        position += 1
        if data[position - 1]:
            return position


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
    position, texts, exif, pixels = 8, dict[bytes, bytes](), b"", False
    while True:
        if position + 12 > len(data):
            raise RowError("truncated_image", "the PNG has no end chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        chunk = data[position + 8 : position + 8 + length]
        if kind == b"IEND":
            break
        if kind == b"acTL" and struct.unpack_from(">I", data, position + 8)[0] > 1:
            raise RowError("animated_image", "an animated PNG")
        if kind == b"eXIf":
            exif = chunk
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            texts |= _png_text(kind, chunk)
        pixels = pixels or kind == b"IDAT"
        position += 12 + length
    if not pixels:
        raise RowError("truncated_image", "the PNG has no pixel data")
    profile = exif or _from_hex(texts.get(b"Raw profile type exif", b""))
    return Header("png", width, height, orientation(profile, texts.get(b"XML:com.adobe.xmp", b"")))


def _png_text(kind: bytes, chunk: bytes) -> dict[bytes, bytes]:
    """Keyword and text of a chunk, where the text speaks of the orientation."""
    keyword, _, text = chunk.partition(b"\0")
    if keyword not in (b"XML:com.adobe.xmp", b"Raw profile type exif"):
        return {}
    packed = kind == b"zTXt"
    if kind == b"iTXt":  # compression flag and method, language, translated keyword
        packed = text[:1] != b"\0"
        *_, text = text[2:].split(b"\0", 2)
    elif packed:
        text = text[1:]
    try:
        return {keyword: zlib.decompressobj().decompress(text, _TEXT_LIMIT) if packed else text}
    except zlib.error:
        return {}


def _from_hex(profile: bytes) -> bytes:
    """ImageMagick's way to put an EXIF block into a text chunk: its name, its length, and hexadecimal digits."""
    try:
        return bytes.fromhex("".join(profile.decode("ascii").split("\n")[3:]))
    except ValueError:
        return b""


def _read_webp(data: bytes) -> Header:
    (riff_length,) = struct.unpack_from("<I", data, 4)
    end = 8 + riff_length
    if end > len(data):
        raise RowError("truncated_image", f"the WebP says {end} bytes, there are {len(data)}")
    size, blocks, frames, position = _webp_size(data), dict[bytes, bytes](), 0, 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind in (b"EXIF", b"XMP "):
            blocks.setdefault(kind, data[position + 8 : position + 8 + length])
        frames += kind == b"ANMF"
        position += 8 + length + length % 2
    if frames > 1:
        raise RowError("animated_image", f"an animated WebP of {frames} frames")
    flags = data[20] if data[12:16] == b"VP8X" else 0  # which blocks count
    exif, xmp = (blocks.get(kind, b"") if flags & flag else b"" for kind, flag in ((b"EXIF", 8), (b"XMP ", 4)))
    return Header("webp", *size, orientation(exif, xmp))


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
