"""Records of a table with named columns, and how each becomes a row, or several where it has several captions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.ingest.captions import Kind, captions_of, images_of, is_list, kind_of
from stages.ingest.grit import gold_of_record
from stages.ingest.image_folders import ImageFolders
from stages.ingest.listing import Unclear
from stages.ingest.locate import Found, find_image, plain_name
from stages.ingest.names import IMAGES, base_name, folder_of, is_image, stem, suffix_of
from stages.ingest.roles import WEB, Columns, Rows, columns_of, texts
from stages.ingest.row import Row
from stages.ingest.text import storable_or_none
from stages.stage import ImageRef, RowError, SourceFile

if TYPE_CHECKING:
    from schemas.config import IngestConfig

Record = Mapping[str, Any] | RowError


@dataclass(frozen=True)
class Layout:
    """What was understood of a table's records. `images`: the folder that image paths are looked up in; `by_id`: images
    are named by the rows' ids, as in GRIT.
    """

    columns: Columns
    images: str
    by_id: bool = False
    captions: Kind = ""

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"columns": self.columns.to_json(), "images": self.images}
        return found | ({"by_id": True} if self.by_id else {}) | ({"captions": self.captions} if self.captions else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layout:
        return cls(Columns(**data["columns"]), data["images"], bool(data.get("by_id")), data.get("captions", ""))

    def pairs_in(self, record: Record) -> int:
        if not self.captions or isinstance(record, RowError):
            return 1
        return len(captions_of(_cell(record, self.columns.caption), self.captions))


def layout_of(columns: Columns, rows: Rows, config: IngestConfig, uri: str, folders: ImageFolders) -> Layout:
    """`rows`: a sample of the table at `uri`. Raises Unclear."""
    kind = "list" if columns.caption.endswith("*") else kind_of(row.get(columns.caption) for row in rows)
    values = texts(rows, columns.image)
    names = [value for value in values if len(value) < 256 and not value.startswith((*WEB, "data:"))]
    if config.images and values and all(value.startswith(WEB) for value in values):
        question = f"the column {columns.image!r} has web addresses, none of which is a file of ingest.images"
        raise Unclear(
            f"{base_name(uri)}: {question}; set ingest.image to the column of the files' names, or leave images out"
        )
    found = folders.find(names, uri) if names and not config.images else ""
    by_id = bool(config.images and not columns.image and columns.id)
    return Layout(columns, config.images or found or folder_of(uri), by_id, kind)


def rows_of_record(
    record: Mapping[str, Any], layout: Layout, default_id: str, by_id: Mapping[str, str] | None = None
) -> Iterator[Row]:
    """`by_id`: image files by the id that names them."""
    columns = layout.columns
    cell = _cell(record, columns.caption)
    captions = captions_of(cell, layout.captions)
    images = images_of(cell, _cell(record, columns.image), layout.captions)
    source_id = storable_or_none(_cell(record, columns.id)) or default_id
    many = is_list(cell, layout.captions) or len(captions) > 1
    shared: dict[int, Found] = {}  # by the image's cell, so that its pairs also share bytes that are decoded
    for number, (caption, image) in enumerate(zip(captions, images, strict=True)):
        row_id = f"{source_id}#{number}" if many else source_id
        gold = None
        try:
            gold = gold_of_record(record)
            _check_download(record, columns)
            if id(image) not in shared:
                shared[id(image)] = _find(image, layout.images) if by_id is None else _image_of_id(source_id, by_id)
            found = shared[id(image)]
            url = _cell(record, columns.url)
            yield Row(
                row_id,
                caption=caption,
                image=found.image,
                data=found.data,
                url=found.url if url is None else url,
                license=_cell(record, columns.license),
                gold=gold,
            )
        except RowError as error:
            yield Row(row_id, gold=gold, error=error)


def _cell(record: Mapping[str, Any], column: str) -> Any:
    """Of several numbered columns (NAME*) the values that are there."""
    if column.endswith("*"):
        return [record[name] for name in columns_of(record, column) if record[name] not in (None, "")]
    return record.get(column) if column else None


def _check_download(record: Mapping[str, Any], columns: Columns) -> None:
    """img2dataset's tables list what was not downloaded, too. Raises RowError."""
    status = _cell(record, columns.status)
    if columns.status and status not in (None, "success"):
        raise RowError("download_failed", f"{status}: {record.get('error_message') or 'no message'}")
    if columns.status and columns.image and record.get(columns.image) is None:
        raise RowError("missing_image", f"it was downloaded, and {columns.image} is empty")


def _find(image: Any, root: str) -> Found:
    if isinstance(image, RowError):
        raise image
    return find_image(image, root)


def _image_of_id(source_id: str, by_id: Mapping[str, str]) -> Found:
    name = source_id if source_id in by_id else stem(plain_name(source_id))
    if not by_id.get(name):
        raise RowError(
            "missing_image", f"ingest.images has {'several files' if name in by_id else 'no file'} of this name"
        )
    return Found(ImageRef(by_id[name]))


def images_by_name(found: Sequence[SourceFile]) -> dict[str, str]:
    """Image files by their names without folder and suffix, "" where two folders have one of the name.

    Of several in one folder it is that of a format which shards carry.
    """
    images: dict[str, list[str]] = {}
    uris = [file.uri for file in found if is_image(file.uri)]
    for uri in sorted(uris, key=lambda uri: (IMAGES.index(suffix_of(uri)), uri)):
        images.setdefault(stem(uri), []).append(uri)
    return {name: uris[0] if len(set(map(folder_of, uris))) == 1 else "" for name, uris in images.items()}
