"""Which way up an image is, by its EXIF block, else by its XMP packet: as Pillow's `ImageOps.exif_transpose` has it."""

from __future__ import annotations

import re
import struct

_TAG = 0x0112
# struct's code and the size in bytes of one value, by TIFF's type. Orientation should be a SHORT (3); writers also have
# LONG (4) and others, and a rational number has two LONGs.
_TYPES = {3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q"}
_NO_NUMBERS = {1: 1, 2: 1, 7: 1}  # bytes, text and undefined: the size of one value
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def orientation(exif: bytes, xmp: bytes) -> int:
    """1..8; 1 where neither block gives a valid one. `exif` may begin with the `Exif` of a JPEG segment."""
    found = exif_orientation(re.sub(rb"^(?:Exif\0\0){1,2}", b"", exif))
    if found is None and (match := _IN_XMP.search(xmp)):
        found = int(match[1])
    return found if found is not None and 1 <= found <= 8 else 1


def exif_orientation(tiff: bytes) -> int | None:
    """Of an EXIF block, from its TIFF header on; None without the tag, 0 for a value that is no orientation."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    if start + 2 > len(tiff):
        return None
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        if struct.unpack_from(order + "H", tiff, entry)[0] == _TAG:
            found = _value(tiff, entry, order)
            if found is not None:
                return found
    return None


def _value(tiff: bytes, entry: int, order: str) -> int | None:
    """The first value of a directory's entry; 0 for what is no whole number; None where the entry cannot be read."""
    kind, count = struct.unpack_from(order + "HI", tiff, entry + 2)
    code = _TYPES.get(kind, "")
    one = struct.calcsize(order + code) if code else _NO_NUMBERS.get(kind, 0)
    size = one * count
    place = entry + 8 if size <= 4 else struct.unpack_from(order + "I", tiff, entry + 8)[0]
    if not size or place + size > len(tiff):
        return None
    if not code:
        return 0
    values = struct.unpack_from(order + code, tiff, place)
    if len(values) == 2:
        return values[0] // values[1] if values[1] and values[0] % values[1] == 0 else 0
    return int(values[0]) if values[0] in range(1, 9) else 0
