"""Small image files of every odd kind, made on the spot."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 24, 16


def pixels(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(height, width, 3) uint8: four quadrants of different colours, so that every mirror and turn shows."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (220, 30, 30)
    image[: height // 2, width // 2 :] = (30, 200, 40)
    image[height // 2 :, : width // 2] = (40, 60, 210)
    image[height // 2 :, width // 2 :] = (240, 230, 60)
    return image


def save(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def image_file(format: str = "JPEG", mode: str = "RGB", orientation: int = 0, **options: Any) -> bytes:
    image = Image.fromarray(pixels()).convert(mode)
    if orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    return save(image, format, **options)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG from its raw rows (each with its filter byte); `chunks` come before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def grey16(value: int, width: int = 4, height: int = 4) -> bytes:
    row = b"\0" + struct.pack(">H", value) * width
    return png(width, height, 16, 0, row * height)


def bomb() -> bytes:
    """20,000 x 20,000 pixels in less than 100 kB."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + 20_000 // 8)
    data = b"".join([*(packer.compress(row) for _ in range(20_000)), packer.flush()])
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def animated(format: str) -> bytes:
    frames = [Image.fromarray(np.roll(pixels(), 8 * i, axis=1)) for i in range(3)]
    return save(frames[0], format, save_all=True, append_images=frames[1:])


def isobmff(brand: bytes) -> bytes:
    """The first bytes of an AVIF or HEIC file."""
    return struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\0\0mif1" + brand + bytes(64)


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    """With segments of these markers behind the JFIF segment."""
    whole = image_file(quality=95)
    added = (bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return whole[:20] + b"".join(added) + whole[20:]


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """With chunks of these kinds before the pixels."""
    whole = image_file("PNG")
    return whole[:33] + b"".join(png_chunk(kind, data) for kind, data in chunks) + whole[33:]


def webp_with(flags: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """The simple file's image in the extended layout, with chunks behind it; `flags` says which of them count."""
    size = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    body = b"VP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + size
    body += image_file("WEBP", lossless=True)[12:]
    for name, data in chunks:
        body += name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
