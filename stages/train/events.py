"""TensorBoard's event files, written with nothing but the standard library.

An event file is a sequence of records: length (8 bytes), its checksum, a protobuf `Event`, its checksum. A scalar needs
five fields of that protobuf, so that training depends on no part of TensorBoard; only looking at the curves does.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import lru_cache

CASTAGNOLI = 0x82F63B78  # CRC-32C, bits reversed
MASK = 0xA282EAD8


def event_file(entries: Sequence[tuple[int, float, Mapping[str, float]]]) -> bytes:
    """The file of some (step, seconds since 1970, {name: value}), in their order."""
    start = entries[0][1] if entries else 0.0
    events = [double(1, start) + field(3, b"brain.Event:2")]
    for step, seconds, values in entries:
        summary = b"".join(field(1, field(1, name.encode()) + single(2, value)) for name, value in values.items())
        events.append(double(1, seconds) + number(2, step) + field(5, summary))
    return b"".join(record(event) for event in events)


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)


def checksum(data: bytes) -> bytes:
    """TensorFlow's masked CRC-32C."""
    table, crc = crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + MASK) & 0xFFFFFFFF)


@lru_cache(maxsize=1)
def crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (CASTAGNOLI if value & 1 else 0)
        table.append(value)
    return tuple(table)


# The wire format of protobuf: a key (field number and kind), then the value.


def number(place: int, value: int) -> bytes:
    return varint(place << 3) + varint(value)


def double(place: int, value: float) -> bytes:
    return varint(place << 3 | 1) + struct.pack("<d", value)


def field(place: int, data: bytes) -> bytes:
    """Text, or a message within."""
    return varint(place << 3 | 2) + varint(len(data)) + data


def single(place: int, value: float) -> bytes:
    return varint(place << 3 | 5) + struct.pack("<f", value)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
