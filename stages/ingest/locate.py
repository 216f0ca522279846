"""Where the image of a row is: a file below the declared folder, or bytes in the row itself. Never anywhere else."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any

from stages.stage import ImageRef, RowError

_WEB = ("http://", "https://")
_BASE64_STARTS = ("/9j/", "iVBORw0KGgo", "UklGR")  # JPEG, PNG, WebP
_NAME_LIMIT = 1024  # characters


@dataclass(frozen=True)
class Found:
    """One of them at most; `url` is where the value was a web address, which is kept and never fetched."""

    image: ImageRef | None = None
    data: bytes | None = None
    url: str | None = None


def find_image(value: Any, root: str) -> Found:
    """The image that a table's cell names or holds: a path below `root`, raw bytes, base64 text, a `data:` URI, or
    {"bytes": ..., "path": ...}. Nothing at all is no error. Raises RowError: image_read_refused, bad_record.
    """
    if value is None or value == "" or value != value:
        return Found()
    if isinstance(value, (bytes, bytearray)):
        return Found(data=bytes(value))
    if isinstance(value, dict):
        inside = value.get("bytes")
        return find_image(value.get("path") if inside is None else inside, root)
    if not isinstance(value, str):
        raise RowError("bad_record", f"the image is of type {type(value).__name__}")
    if value.startswith(_WEB):
        return Found(url=value)
    if value.startswith("data:"):
        return Found(data=_from_base64(value.partition(",")[2]))
    if len(value) > 128 and value.startswith(_BASE64_STARTS):
        return Found(data=_from_base64(value))
    return Found(image=locate(value, root))


def plain_name(name: str) -> str:
    """The file that a name of an image means: `/` for the backslashes of Windows, without the number of a caption."""
    return re.sub(r"(\.\w+)#\d+$", r"\1", name.strip(" ")).replace("\\", "/")


def locate(name: str, root: str) -> ImageRef:
    """The file `name` below the folder or URI `root`. Raises RowError: image_read_refused for any other place."""
    root = root.rstrip("/")
    plain = plain_name(name)
    inside = plain.removeprefix(root + "/") if root else plain
    if not inside or len(inside) > _NAME_LIMIT or "\0" in inside or "://" in inside:
        raise RowError("image_read_refused", f"{name[:200]!r} is no name of a file")
    steps = inside.split("/")
    if (
        inside.startswith(("/", "~"))
        or ".." in steps
        or re.match("[A-Za-z]:/", inside)
        or any(len(step.encode("utf-8", "replace")) > 255 for step in steps)
    ):
        raise RowError("image_read_refused", f"{name[:200]!r} is outside of {root}")
    if any("\ud800" <= char <= "\udfff" for char in inside):
        raise RowError("image_read_refused", "the name is not valid Unicode")
    return ImageRef(f"{root}/{inside}")


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RowError("bad_record", f"the image's base64 is broken: {error}") from error
