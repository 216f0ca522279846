"""Which column of a table is what: by the config, else by the usual names, else by what stands in the columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from stages.ingest.grit import GRIT_BOXES
from stages.ingest.listing import Unclear
from stages.ingest.names import IMAGES
from stages.ingest.text import number
from stages.stage import UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

WEB = ("http://", "https://")
_CAPTIONS = ("caption", "text", "alt_text", "alt", "sentence")
# Taken for captions where there is none of the former.
_OTHER_CAPTIONS = ("captions", "texts", "sentences", "comment", "comments", "raw", "txt", "title", "description")
_USUAL = {
    "image": (
        *("image", "image_path", "img_path", "file_name", "filename", "file_path", "filepath", "path", "jpg"),
        *("img", "image_name", "img_name", "image_file", "img_file", "image_filename", "photo", "picture", "images"),
        *("jpeg", "png", "webp"),  # with "jpg" above, IMAGE_COLUMNS
    ),
    "url": ("url", "image_url", "img_url"),
    "id": ("id", "key", "image_id", "uid", "sample_id"),
    "license": ("license", "licence"),
}
_USUAL_NAMES = frozenset((*_CAPTIONS, *_OTHER_CAPTIONS, *(name for names in _USUAL.values() for name in names)))
IMAGE_COLUMNS = ("jpg", "jpeg", "png", "webp")  # of img2dataset's Parquet output
_IMG2DATASET = {"key", "status", "error_message"}
_STATUSES = ("success", "failed_to_download", "failed_to_resize")
_NUMBERED = re.compile(r"(.*?)\d+")
_IMAGE_NAME = re.compile(rf"\S.*\.(?:{'|'.join(IMAGES)})(?:#\d+)?", re.IGNORECASE | re.DOTALL)

Rows = Sequence[Mapping[str, Any]]
FindFolder = Callable[[Sequence[str]], str]  # where files of these names lie; "" for nowhere


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read; "" for one that the table does not have.

    `caption` may stand for several columns, which are numbered: "caption_*". `status` is img2dataset's, which says of
    every row whether its image was downloaded.
    """

    caption: str
    image: str = ""
    url: str = ""
    id: str = ""
    license: str = ""
    status: str = ""

    def to_json(self) -> dict[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}


def usual(name: str) -> str:
    """The name as it is compared: without the space around it, in lower case."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def is_usual(name: str) -> bool:
    return usual(name) in _USUAL_NAMES


def is_caption(name: str) -> bool:
    return usual(name) in (*_CAPTIONS, *_OTHER_CAPTIONS)


def find_columns(
    names: Sequence[str], rows: Rows, config: IngestConfig, where: str, find_folder: FindFolder = lambda names: ""
) -> Columns:
    """By the config, else by their usual names; "" in the config stands for none. `rows`: a sample.

    A column without a usual name holds the images where its values are names of image files, and these are there.
    Raises Unclear for a missing column, and where more than one may be the caption: a wrong guess would spoil the run;
    UserError where none is. Of several usual names for the others the first wins.
    """
    named = [name for name in dict.fromkeys(names) if name.strip()]  # pandas saves its index in a column without a name
    chosen = {"caption": _caption(named, config, where)}
    for role, words in _USUAL.items():
        if role == "id" and set(GRIT_BOXES) & set(named):
            words = ("key", *words)  # GRIT's `id` only counts rows; its `key` is what names the image
        wanted = _wanted(role, named, config, where)
        found = [name for word in words for name in named if usual(name) == word] if wanted is None else [wanted]
        chosen[role] = found[0] if found else ""
    if running(rows, chosen["license"]):
        chosen["license"] = ""
    if set(named) >= _IMG2DATASET or any(row.get("status") in _STATUSES for row in rows):
        chosen["status"] = "status"
    if not chosen["image"] and config.image is None:
        free = [name for name in named if name not in chosen.values()]
        chosen["image"] = image_column(free, rows, config, where, find_folder)
    for role, name in chosen.items():
        if name and list(names).count(name) > 1:
            raise UserError(f"{where}: {list(names).count(name)} columns are called {name!r}; rename one ({role})")
    _check_images(chosen, named, config, where)
    return Columns(**chosen)


def unread(names: Sequence[str], columns: Columns) -> set[str]:
    """The columns that have no role."""
    grit = {*GRIT_BOXES, "width", "height"} if set(GRIT_BOXES) & set(names) else set()
    known = {*columns.to_json().values(), *columns_of(names, columns.caption), *grit}
    known |= _IMG2DATASET if columns.status else set()
    return {name for name in names if name.strip()} - known


def columns_of(names: Iterable[str], column: str) -> list[str]:
    """The columns that a name stands for: itself, or for NAME* those that are called NAME and a number, in order."""
    if not column.endswith("*"):
        return [name for name in names if name == column]
    numbered = [name for name in names if name.startswith(column[:-1]) and name[len(column) - 1 :].isdecimal()]
    return sorted(numbered, key=lambda name: int(name[len(column) - 1 :]))


def _wanted(role: str, names: Sequence[str], config: IngestConfig, where: str) -> str | None:
    wanted: str | None = getattr(config, role, None)
    if wanted and not columns_of(names, wanted):
        raise Unclear(f"ingest.{role}: {where} has no column {wanted!r}; it has {listed(names)}")
    return wanted


def _caption(names: Sequence[str], config: IngestConfig, where: str) -> str:
    wanted = _wanted("caption", names, config, where)
    if wanted:
        return wanted
    for words in (_CAPTIONS, _OTHER_CAPTIONS):
        found = [name for name in names if usual(name) in words]
        if len(found) > 1:
            question = f"{' and '.join(map(repr, found))} may be the caption"
            raise Unclear(f"{where}: {question}; set ingest.caption to one of {listed(names)}")
        if found and wanted is None:
            return found[0]
    numbered = {
        match[1] for name in names if (match := _NUMBERED.fullmatch(name)) and is_caption(match[1].rstrip(" _-"))
    }
    if len(numbered) == 1 and wanted is None:
        return f"{numbered.pop()}*"
    raise UserError(f"{where}: no column is the caption; set ingest.caption to one of {listed(names)}")


def image_column(names: Sequence[str], rows: Rows, config: IngestConfig, where: str, find_folder: FindFolder) -> str:
    """The one whose values are names of image files that are there, or must be, since ingest.images was given."""
    likely = [name for name in names if name.strip() and holds_image_names(row.get(name) for row in rows)]
    if config.images and len(likely) > 1:
        raise Unclear(f"{where}: {' and '.join(map(repr, likely))} name images; set ingest.image to one of them")
    there = likely if config.images else [name for name in likely if find_folder(texts(rows, name))]
    return there[0] if len(there) == 1 else ""


def holds_image_names(values: Any) -> bool:
    given = [value for value in values if value]
    names = [value for value in given if isinstance(value, str) and _IMAGE_NAME.fullmatch(value.strip())]
    return bool(names) and len(names) >= 0.9 * len(given) and not any(name.startswith(WEB) for name in names)


def texts(rows: Rows, column: str) -> list[str]:
    return [value for row in rows if isinstance(value := row.get(column), str) and value] if column else []


def running(rows: Rows, column: str) -> bool:
    """Whether the column counts its rows."""
    values = [row.get(column) for row in rows] if column else []
    numbers = [found for value in values if (found := number(value)) is not None]
    return len(numbers) == len(values) > 1 and all(b - a == 1 for a, b in pairwise(numbers))


def _check_images(chosen: Mapping[str, str], names: Sequence[str], config: IngestConfig, where: str) -> None:
    """Images that the user named and no column leads to must not go unused. Raises Unclear."""
    if config.images and not chosen["image"] and not chosen["id"]:
        question = "ingest.images is given, but no column names the image of a row"
        raise Unclear(f"{where}: {question}; set ingest.image (or ingest.id) to one of {listed(names)}")


def listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")
