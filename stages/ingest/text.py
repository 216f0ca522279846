"""Text from the data: captions are checked, never mended; other fields are made storable."""

from __future__ import annotations

import math
import re
from typing import Any

from stages.stage import RowError

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_FIELD_LIMIT = 4096  # characters of a source_id, url or licence


def check_caption(value: Any, max_chars: int) -> str:
    """The caption exactly as given. Raises RowError for what is missing, no text, not storable or too long."""
    if value is None or value != value:  # NaN stands for nothing in many tables
        raise RowError("missing_caption")
    if isinstance(value, bytes):
        value = decode_text(value)
    if not isinstance(value, str):
        raise RowError("caption_not_text", f"it is of type {type(value).__name__}")
    if len(value) > max_chars:
        raise RowError("caption_too_large", f"{len(value)} characters, the limit is {max_chars}")
    if found := _UNSTORABLE.search(value):
        raise RowError("caption_control_characters", f"U+{ord(found[0]):04X} at character {found.start()}")
    return value


def decode_text(data: bytes) -> str:
    """Raises RowError: caption_not_text, for bytes that are not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("caption_not_text", f"not UTF-8 at byte {error.start}") from error


def storable(value: Any) -> str:
    """Any value as text that Arrow can hold: what cannot be stored becomes U+FFFD, and what is very long is cut."""
    text = value if isinstance(value, str) else "" if value is None else str(value)
    return _UNSTORABLE.sub("\ufffd", text[:_FIELD_LIMIT])


def storable_or_none(value: Any) -> str | None:
    """As `storable`; None and NaN, which tables use for "nothing", stay nothing."""
    if value is None or value != value:
        return None
    return storable(value)


def number(value: Any) -> float | None:
    """A finite number, also one that is written as text; None for all else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
