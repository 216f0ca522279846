"""Annotation files of COCO's kind, of gold sets and of benchmarks. Whatever is wrong with one is a UserError.

`key`, in its message, is the place in the config that names the file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from stages.stage import UserError

if TYPE_CHECKING:
    from stages.stage import Files

Id = int | str
Named = TypeVar("Named")
ARRAYS = ("images", "annotations", "categories")


def same_id(value: Any) -> Id | None:
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


def read_json(files: Files, uri: str, key: str, segmentation: bool = False) -> dict[str, Any]:
    """The file, as a rule without its segmentations, which are most of its bytes; arrays keyed by id as lists."""
    with decoding(uri, key), files.open_source(uri) as stream:
        data = json.load(stream, object_hook=None if segmentation else without_segmentation)
    if not isinstance(data, dict):
        raise UserError(f"{key}: {uri} holds no object with `images` and `annotations`")
    return data | {array: unkeyed(data[array]) for array in ARRAYS if array in data}


@contextmanager
def decoding(uri: str, key: str) -> Iterator[None]:
    """What goes wrong while a JSON file is opened and decoded, as a UserError."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{key}: {uri}: no such file") from None
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise UserError(f"{key}: {uri}: cannot be read as a file ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{key}: {uri} is not a JSON file ({error})") from None


def without_segmentation(row: dict[str, Any]) -> dict[str, Any]:
    row.pop("segmentation", None)
    return row


def unkeyed(array: Any) -> Any:
    """Some converters write an object, keyed by id, in the place of a list."""
    if not isinstance(array, dict):
        return array
    return [{"id": key, **entry} if isinstance(entry, dict) else entry for key, entry in array.items()]


class Entries:
    """The entries of an annotation file, one after the other; where the reader is stands in the words of an error."""

    def __init__(self) -> None:
        self.place = ""

    def of(self, data: Mapping[str, Iterable[Any]], array: str, count: int | None = None) -> Iterator[dict[str, Any]]:
        """The first `count`, or all. Raises as `reading` expects."""
        for number, entry in enumerate(islice(data[array], count)):
            self.place = f" ({array}[{number}])"
            if not isinstance(entry, dict):
                raise TypeError(f"an entry is {str(entry)[:40]!r} and no object")
            if "id" in entry:
                self.place = f" ({array}[{number}], id {entry['id']})"
            yield entry
        self.place = ""


@contextmanager
def reading(uri: str, kind: str, key: str) -> Iterator[Entries]:
    """What goes wrong while entries of an annotation file are taken apart, as a UserError that names the entry."""
    entries = Entries()
    try:
        yield entries
    except KeyError as error:
        what = f"it has no {error.args[0]!r} where one belongs"
        raise UserError(f"{key}: {uri} is no {kind}: {what}{entries.place}") from None
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise UserError(f"{key}: {uri} is no {kind}: {error}{entries.place}") from None


# Of one entry; all raise as `reading` expects.


def declared_size(row: dict[str, Any]) -> tuple[int, int] | None:
    """(width, height) of an image; None where converters write 0 for what they do not know."""
    height, width = int(row["height"]), int(row["width"])
    return (width, height) if width > 0 and height > 0 else None


def id_of(entry: dict[str, Any], name: str = "id") -> Id:
    found = same_id(entry[name])
    if found is None:
        raise ValueError(f"{name} is {str(entry[name])[:40]!r}, which is no id")
    return found


def category_of(annotation: dict[str, Any], categories: Mapping[Id, Named]) -> Named:
    """What belongs to the category of an annotation."""
    category = id_of(annotation, "category_id")
    if category not in categories:
        raise ValueError(f"category_id is {category!r}, and no category has this id")
    return categories[category]


def box_of(annotation: dict[str, Any]) -> tuple[float, float, float, float]:
    """Left, top, width, height."""
    bbox = annotation["bbox"]
    box = tuple(float(value) for value in bbox) if isinstance(bbox, list) else ()
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"bbox is {str(bbox)[:80]}, which is not four numbers")
    return box


def rising(id: Id) -> tuple[bool, Id]:
    """A key to sort ids by: numbers, then text."""
    return isinstance(id, str), id
