"""Annotation files of COCO's kind, of gold sets and of benchmarks. Whatever is wrong with one is a UserError.

`key`, in its message, is the place in the config that names the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from stages.stage import UserError

if TYPE_CHECKING:
    from stages.stage import Files


def same_id(value: Any) -> int | str | None:
    """An id as ids are compared: 1, 1.0 and "1", which converters write for one another, are the same.

    None for what can be no id.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        return int(float(text)) if re.fullmatch(r"\d{1,15}(\.0*)?", text) else text
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None


def read_json(files: Files, uri: str, key: str) -> dict[str, Any]:
    """The file without its segmentations, which are most of its bytes."""
    try:
        with files.open_source(uri) as stream:
            data = json.load(stream, object_hook=without_segmentation)
    except FileNotFoundError:
        raise UserError(f"{key}: {uri}: no such file") from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise UserError(f"{key}: {uri}: cannot be read as a file ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{key}: {uri} is not a JSON file ({error})") from None
    if not isinstance(data, dict):
        raise UserError(f"{key}: {uri} holds no object with `images` and `annotations`")
    return data


def without_segmentation(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("segmentation", None)
    return row


def declared_size(row: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height) of an image row; None where converters write 0 for what they do not know.

    Raises as `reading` expects.
    """
    width, height = int(row["width"]), int(row["height"])
    return (width, height) if width > 0 and height > 0 else None


@contextmanager
def reading(uri: str, kind: str, key: str) -> Iterator[None]:
    """What goes wrong while rows of an annotation file are taken apart, as a UserError."""
    try:
        yield
    except KeyError as error:
        raise UserError(f"{key}: {uri} is no {kind}: it has no {error.args[0]!r} where one belongs") from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise UserError(f"{key}: {uri} is no {kind}: {error}") from None
