"""Table rows with named columns: which column is what, and how a record becomes a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from stages.ingest.listing import Unclear
from stages.ingest.locate import Found, find_image
from stages.ingest.row import Gold, GoldBox, Row
from stages.ingest.text import storable_or_none
from stages.stage import ImageRef, RowError, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_USUAL = {
    "caption": ("caption", "text", "alt_text", "alt", "sentence"),
    "image": ("image", "image_path", "img_path", "file_name", "filename", "file_path", "filepath", "path", "jpg"),
    "url": ("url", "image_url", "img_url"),
    "id": ("id", "key", "image_id", "uid", "sample_id"),
    "license": ("license", "licence"),
}
USUAL_NAMES = frozenset(name for names in _USUAL.values() for name in names)
GRIT_BOXES = ("noun_chunks", "ref_exps")


@dataclass(frozen=True)
class Columns:
    """The names of the columns that are read; "" for one that the table does not have."""

    caption: str
    image: str = ""
    url: str = ""
    id: str = ""
    license: str = ""

    def to_json(self) -> dict[str, str]:
        return {field.name: getattr(self, field.name) for field in fields(self) if getattr(self, field.name)}


def find_columns(names: Sequence[str], config: IngestConfig, where: str) -> Columns:
    """By the config, else by their usual names; "" in the config stands for none.

    Raises UserError for a missing column, Unclear where more than one may be the caption: a wrong guess would spoil the
    run. Of several usual names for the others the first wins.
    """
    chosen: dict[str, str] = {}
    for role, usual in _USUAL.items():
        named = getattr(config, role, None)
        if named and named not in names:
            raise UserError(f"ingest.{role}: {where} has no column {named!r}; it has {_listed(names)}")
        if role == "id" and set(GRIT_BOXES) & set(names):
            usual = ("key", *usual)  # GRIT's `id` only counts rows; its `key` is what names the image
        found = [name for word in usual for name in names if name.lower() == word] if named is None else [named]
        if role == "caption" and len(found) > 1:
            question = f"{' and '.join(map(repr, found))} may be the caption"
            raise Unclear(f"{where}: {question}; set ingest.caption to one of {_listed(names)}")
        if role == "caption" and not any(found):
            raise UserError(f"{where}: no column is the caption; set ingest.caption to one of {_listed(names)}")
        chosen[role] = found[0] if found else ""
    return Columns(**chosen)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:20]) + (", ..." if len(names) > 20 else "")


def row_of_record(
    record: Mapping[str, Any],
    columns: Columns,
    root: str,
    default_id: str,
    by_id: Mapping[str, str] | None = None,
) -> Row:
    """`root`: the folder that image paths are looked up in; `by_id`: images by the row's id, where it names them."""
    source_id = storable_or_none(record.get(columns.id)) or default_id
    try:
        gold = gold_of_record(record)
        found = find_image(record.get(columns.image), root) if columns.image else Found()
        if by_id is not None:
            found = _image_of_id(source_id, by_id)
    except RowError as error:
        return Row(source_id, error=error)
    url = record.get(columns.url)
    return Row(
        source_id,
        caption=record.get(columns.caption),
        image=found.image,
        data=found.data,
        url=found.url if url is None else url,
        license=record.get(columns.license),
        gold=gold,
    )


def _image_of_id(source_id: str, by_id: Mapping[str, str]) -> Found:
    if source_id not in by_id:
        raise RowError("missing_image", "ingest.images has no file of this name")
    return Found(ImageRef(by_id[source_id]))


def gold_of_record(record: Mapping[str, Any]) -> Gold | None:
    """GRIT's noun chunks and the expressions that say more: [start, end, x1, y1, x2, y2, score], sides 0 to 1.

    None where the record has no such lists. Raises RowError: bad_record, for lists that are not of this form.
    """
    lists = [record[name] for name in GRIT_BOXES if isinstance(record.get(name), list)]
    if not lists:
        return None
    width, height = _side(record.get("width")), _side(record.get("height"))
    spans: dict[tuple[int, int], int] = {}
    boxes: dict[GoldBox, None] = {}  # most expressions repeat a chunk
    for entry in (entry for entries in lists for entry in entries):
        start, end, x1, y1, x2, y2 = _numbers(entry)
        span = spans.setdefault((int(start), int(end)), len(spans))
        boxes[GoldBox((x1 * width, y1 * height, x2 * width, y2 * height), span)] = None
    return Gold(width, height, list(spans), list(boxes))


def _side(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) and 0 < value < 1e9 else 1.0


def _numbers(entry: Any) -> list[float]:
    if not isinstance(entry, (list, tuple)) or len(entry) < 6:
        raise RowError("bad_record", "a grounded phrase is not [start, end, x1, y1, x2, y2, score]")
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in entry[:6]):
        raise RowError("bad_record", "a grounded phrase holds what is no number")
    return [float(value) for value in entry[:6]]
