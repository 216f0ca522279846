"""Tar files of every odd kind, made on the spot."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.stages.image_files import image_file

Member = tuple[str, bytes]


def member(name: str, data: bytes = b"", format: int = tarfile.USTAR_FORMAT, **fields: Any) -> bytes:
    """Header and padded data of one member; `fields` are set on its TarInfo (type, linkname, pax_headers, ...)."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(format, errors="surrogateescape") + data + bytes(-len(data) % 512)


def with_size(header_and_data: bytes, field: bytes) -> bytes:
    """The same member with other bytes in its size field (12 bytes), and the checksum made right."""
    header = bytearray(header_and_data[:512])
    header[124:136] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + header_and_data[512:]


def tar(*members: bytes | Member) -> bytes:
    blocks = [entry if isinstance(entry, bytes) else member(*entry) for entry in members]
    return b"".join(blocks) + bytes(1024)


def sample(key: str, caption: str = "a red ball", image: bytes | None = None, **record: Any) -> list[Member]:
    """jpg, txt and json of one sample."""
    data = json.dumps({"caption": caption, **record}).encode()
    return [
        (f"{key}.jpg", image_file() if image is None else image),
        (f"{key}.txt", caption.encode()),
        (f"{key}.json", data),
    ]


def write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def extracted(path: Path) -> Iterable[Member]:
    with tarfile.open(path) as opened:
        for info in opened:
            reader = opened.extractfile(info)
            if reader is not None:
                yield info.name, reader.read()


def plain_tar(path: Path, members: Iterable[Member], mode: str = "w") -> str:
    """By Python's own tarfile; `mode` may compress ("w:gz")."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as opened:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return str(path)
