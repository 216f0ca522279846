"""One row with several captions: each of them becomes a pair, and they share the image.

Two kinds are known. `list`: the cell holds a list of captions, as the usual Parquet sets of Flickr's photos do, or the
text of one, in JSON or in Python's notation. `interleaved`: text in which tokens stand for the row's images, as
Data-Juicer writes it; it is cut where it says that a chunk ends, and the tokens are taken out.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from typing import Any, Literal

from stages.stage import RowError

Kind = Literal["", "list", "interleaved"]
_IMAGE_TOKEN = re.compile(r"<__dj__image>|<image>")
_CHUNK_END = "<|__dj__eoc|>"
_TEXT_KEYS = ("raw", "caption", "text", "sentence")  # of a caption that is an object of its own
_LIST_TEXT = 1 << 20  # characters


def kind_of(values: Iterable[Any]) -> Kind:
    """What the captions of a sample are."""
    given = [value for value in values if value not in (None, "")]
    if any(isinstance(value, list) for value in given):
        return "list"
    texts = [value for value in given if isinstance(value, str)]
    if texts and all(_list_in(text) is not None for text in texts):
        return "list"
    marked = sum(bool(_IMAGE_TOKEN.search(text)) or _CHUNK_END in text for text in texts)
    return "interleaved" if texts and 2 * marked > len(texts) else ""


def is_list(value: Any, kind: Kind) -> bool:
    return kind == "list" and (isinstance(value, list) or (isinstance(value, str) and _list_in(value) is not None))


def captions_of(value: Any, kind: Kind) -> list[Any]:
    """The captions of one cell, at least one."""
    if is_list(value, kind):
        values = value if isinstance(value, list) else _list_in(value) or []
        return [_text_of(entry) for entry in values] or [None]
    if kind == "interleaved" and isinstance(value, str):
        chunks = [chunk for chunk in value.split(_CHUNK_END) if chunk.strip()]
        return [_IMAGE_TOKEN.sub(" ", chunk).strip() for chunk in chunks] or [""]
    return [value]


def images_of(value: Any, image: Any, kind: Kind) -> list[Any]:
    """The image of each caption of the cell: a value, None, or a RowError where it cannot be told which it is."""
    number = len(captions_of(value, kind))
    images = image if isinstance(image, list) else [] if image is None else [image]
    if kind == "interleaved" and isinstance(value, str) and _IMAGE_TOKEN.search(value):
        return _by_tokens(value, images)
    if len(images) > 1:
        return [RowError("bad_record", f"{len(images)} images for one caption")] * number
    return (images or [None]) * number


def _by_tokens(value: str, images: list[Any]) -> list[Any]:
    found: list[Any] = []
    first = 0
    for chunk in (chunk for chunk in value.split(_CHUNK_END) if chunk.strip()):
        number = len(_IMAGE_TOKEN.findall(chunk))
        own = images[first : first + number]
        first += number
        if len(own) < number or number > 1:
            found.append(RowError("bad_record", f"the text speaks of {number} images here, the row has {len(own)}"))
        else:
            found.append(own[0] if own else None)
    return found


def _text_of(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return next((entry[key] for key in _TEXT_KEYS if isinstance(entry.get(key), str)), entry)


def _list_in(text: str) -> list[Any] | None:
    """The list that the text is, if it is one of captions."""
    if not (text.startswith("[") and text.endswith("]")) or len(text) > _LIST_TEXT:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    captions = isinstance(value, list) and all(isinstance(_text_of(entry), str) for entry in value)
    return value if captions else None
