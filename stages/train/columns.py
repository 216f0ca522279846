"""Annotation files of gold sets in columns: built once beside the run, and memory-mapped by every rank.

Annotations as Python objects take a kilobyte a box, in every process. As an Arrow file they take 50 to 60 bytes a box,
in pages that all ranks of a machine share and that the system can drop at any time.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import shutil
import tempfile
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO, UnsupportedOperation
from typing import Any, BinaryIO, ClassVar, Literal

import numpy as np
import pyarrow as pa

from stages.annotations import Entries, Id, box_of, category_of, declared_size, decoding, id_of, reading
from stages.geometry import from_xywh
from stages.json_stream import members
from stages.stage import Files, RunIO, UserError

GOLD = "train.gold"  # the key of the files
FOLDER = "annotations"  # of the run, beside the student's: it follows from the files, and proves nothing
VERSION = 1  # of the columns; raised when they mean something else

SMALL = 1  # pixels: a box with such a side is none

Images = str | Mapping[str, str]  # the folder of the images, or one for each `data_source`


class Texts:
    """A growing column of texts, in UTF-8. Surrogates are kept: in a file name they stand for bytes that are none."""

    def __init__(self) -> None:
        self._data, self._ends = bytearray(), array("q", [0])

    def append(self, text: str) -> None:
        self._data += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._data))

    def column(self) -> pa.Array:
        buffers = [None, pa.py_buffer(self._ends), pa.py_buffer(self._data)]
        return pa.Array.from_buffers(pa.large_binary(), len(self._ends) - 1, buffers)


def to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


class Columns(ABC):
    """Takes the entries of one file, whose arrays may come in any order, and makes a row of each image with boxes.

    Columns of a row: id, file_name, caption, folder (number of its name in the metadata), width, height (0: not
    declared), boxes (list of x1, y1, x2, y2) and labels (list, one for each box).
    """

    kind: ClassVar[str]  # in the words of errors
    precision: ClassVar[Literal["f", "d"]]  # of the corners

    def __init__(self, images: Images, entries: Entries) -> None:
        self.images, self.entries = images, entries
        self.unused = Counter[str]()
        self._numbers: dict[Id, int] = {}  # of the images that boxes name
        self._owners = array("q")  # (N,) number of the image of each box
        self._corners: array[float] = array(self.precision)  # (4 N,)
        self._rows: dict[Id, int] = {}  # by image: its entry, the last one where there are several
        self._texts = {"id": Texts(), "file_name": Texts(), "caption": Texts()}  # of each entry
        self._folders: dict[str, int] = {}
        self._places = array("i")  # (3 M,) number of the folder, width and height of each entry

    def takers(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        """What takes an entry of each array that the file must have."""
        return {"annotations": self.annotation, "images": self.image}

    @abstractmethod
    def annotation(self, entry: dict[str, Any]) -> None:
        """One entry of `annotations`."""

    def image(self, entry: dict[str, Any]) -> None:
        """One entry of `images`."""
        folder = self.images if isinstance(self.images, str) else self.images.get(entry["data_source"])
        if folder is None:
            raise ValueError(f"no folder in `images` for the data_source {entry['data_source']!r}")
        self._rows[id_of(entry)] = len(self._places) // 3
        self._texts["id"].append(str(entry["id"]))
        self._texts["file_name"].append(str(entry["file_name"]))
        self._texts["caption"].append(self.caption(entry))
        number = self._folders.setdefault(folder, len(self._folders))
        self._places.extend((number, *(declared_size(entry) or (0, 0))))

    def caption(self, entry: dict[str, Any]) -> str:
        return ""

    def add_box(self, entry: dict[str, Any], box: tuple[float, float, float, float]) -> None:
        self._owners.append(self._numbers.setdefault(id_of(entry, "image_id"), len(self._numbers)))
        self._corners.extend(from_xywh(*box))

    @abstractmethod
    def labels(self) -> pa.Array:
        """(N,): what each box is of."""

    def about(self) -> dict[str, Any]:
        """What else belongs in the metadata."""
        return {}

    def batch(self) -> pa.RecordBatch:
        """All rows, in the order of `images`; boxes of a row in the order of `annotations`."""
        rank = {id: place for place, id in enumerate(self._rows)}
        rank_of_number = np.asarray([rank.get(id, -1) for id in self._numbers], dtype=np.int64)
        own = rank_of_number[np.asarray(self._owners)]  # (N,) rank of the image of each box; -1: it is not there
        self.unused["unknown_image"] = int((own < 0).sum())
        order = np.argsort(own, kind="stable")[self.unused["unknown_image"] :]
        ranks, counts = np.unique(own[order], return_counts=True)
        entries = np.asarray(list(self._rows.values()), dtype=np.int64)[ranks]
        columns = {name: texts.column().take(pa.array(entries)) for name, texts in self._texts.items()}
        places = np.asarray(self._places).reshape(-1, 3)[entries]
        for number, name in enumerate(("folder", "width", "height")):
            columns[name] = pa.array(places[:, number])
        starts = pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32())
        corners = pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(self._corners)), 4)
        for name, values in (("boxes", corners), ("labels", self.labels())):
            columns[name] = pa.ListArray.from_arrays(starts, values.take(pa.array(order)))
        about = {"folders": list(self._folders), "unused": dict(self.unused), **self.about()}
        return pa.RecordBatch.from_pydict(columns, metadata={"about": json.dumps(about)})


class CocoColumns(Columns):
    """COCO instances; a label is the number of the category's name in the metadata."""

    kind = "COCO instances file"
    precision: ClassVar[Literal["f", "d"]] = "d"

    def __init__(self, images: Images, entries: Entries) -> None:
        super().__init__(images, entries)
        self._names: dict[Id, str] = {}
        self._used: dict[Id, tuple[int, str]] = {}  # by category: its number, and the first annotation that names it
        self._labels = array("i")

    def takers(self) -> dict[str, Callable[[dict[str, Any]], None]]:
        return {"categories": self.category, **super().takers()}

    def category(self, entry: dict[str, Any]) -> None:
        self._names[id_of(entry)] = str(entry["name"])

    def annotation(self, entry: dict[str, Any]) -> None:
        box = box_of(entry)
        if entry.get("iscrowd") or min(box[2:]) <= SMALL:
            self.unused["crowd" if entry.get("iscrowd") else "empty_box"] += 1
            return
        number, _ = self._used.setdefault(id_of(entry, "category_id"), (len(self._used), self.entries.place))
        self._labels.append(number)
        self.add_box(entry, box)

    def labels(self) -> pa.Array:
        """The categories are known by now. Raises as `reading` expects, with the place of the annotation."""
        numbers = {id: number for number, id in enumerate(self._names)}
        found = []
        for id, (_, place) in self._used.items():
            self.entries.place = place
            found.append(category_of({"category_id": id}, numbers))
        return pa.array(np.asarray(found, dtype=np.int32)[np.asarray(self._labels)])

    def about(self) -> dict[str, Any]:
        return {"names": list(self._names.values())}


class MdetrColumns(Columns):
    """Grounding in MDETR's COCO-like JSON; a label is the starts and ends of the phrase's spans, in a row."""

    kind = "MDETR-style JSON"
    precision: ClassVar[Literal["f", "d"]] = "f"

    def __init__(self, images: Images, entries: Entries) -> None:
        super().__init__(images, entries)
        self._spans, self._ends = array("i"), array("i", [0])

    def annotation(self, entry: dict[str, Any]) -> None:
        box, spans = box_of(entry), [(int(start), int(end)) for start, end in entry["tokens_positive"]]
        if not spans or min(box[2:]) <= SMALL:
            self.unused["empty_box" if spans else "phrase_not_found"] += 1
            return
        self.add_box(entry, box)
        for span in spans:
            self._spans.extend(span)
        self._ends.append(len(self._spans))

    def caption(self, entry: dict[str, Any]) -> str:
        caption = entry["caption"]
        if not isinstance(caption, str):
            raise TypeError(f"caption is {str(caption)[:40]} and no text")
        return caption

    def labels(self) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(np.asarray(self._ends)), pa.array(np.asarray(self._spans)))


# -- the file and its columns --------------------------------------------------------------------------------------


def open_columns(files: Files, uri: str, images: Images, kind: type[Columns], run: RunIO | None) -> pa.RecordBatch:
    """The columns of an annotation file, memory-mapped: those that the run has of the same file, else built now and
    kept there. Without a run, they are kept in a temporary file. Raises UserError.
    """
    if run is None:
        with tempfile.TemporaryFile() as temporary:
            write_columns(temporary, files, uri, images, kind)
            temporary.flush()
            return mapped(temporary)
    entry = json.dumps([uri, images if isinstance(images, str) else dict(images), kind.__name__])
    prefix = f"{FOLDER}/{hashlib.sha256(entry.encode()).hexdigest()[:16]}-"
    path = f"{prefix}{VERSION}-{digest(files, uri)}.arrow"
    there = run.files(FOLDER)
    if path not in there:
        with run.create(path) as stream:
            write_columns(stream, files, uri, images, kind)
        for old in there:
            if old.startswith(prefix):
                run.delete(old)
    with run.open(path) as stream:
        return mapped(stream)


def digest(files: Files, uri: str) -> str:
    with decoding(uri, GOLD), files.open_source(uri) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # all readers can readinto


def write_columns(stream: BinaryIO, files: Files, uri: str, images: Images, kind: type[Columns]) -> None:
    write(build(files, uri, images, kind), stream)
    pa.default_memory_pool().release_unused()  # Arrow and the C library keep what is free again
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # of glibc alone
        trim(0)


def write(batch: pa.RecordBatch, stream: BinaryIO) -> None:
    with pa.ipc.new_file(stream, batch.schema) as writer:
        writer.write_batch(batch)


def build(files: Files, uri: str, images: Images, kind: type[Columns]) -> pa.RecordBatch:
    with reading(uri, kind.kind, GOLD) as entries:
        columns = kind(images, entries)
        takers, found = columns.takers(), set()
        for name, values in arrays_of(files, uri):
            if name not in takers:
                continue
            if name in found:
                raise ValueError(f"`{name}` comes twice")
            found.add(name)
            for entry in entries.of({name: values}, name):
                takers[name](entry)
        for name in takers:
            if name not in found:
                raise KeyError(name)
        return columns.batch()


def arrays_of(files: Files, uri: str) -> Iterator[tuple[str, Iterable[Any]]]:
    """What the file has by its top-level keys, the entries of arrays one at a time: they are to be used before the next
    key is asked for. Raises UserError.
    """
    with decoding(uri, GOLD), files.open_source(uri) as stream:
        for name, value in members(as_utf8(stream), keyed=None, strict=True):
            if name == "":
                raise UserError(f"{GOLD}: {uri} holds no object with `images` and `annotations`")
            yield name, entries_of(value, uri) if isinstance(value, Iterator) else value


def entries_of(elements: Iterator[Any], uri: str) -> Iterator[Any]:
    with decoding(uri, GOLD):
        for element in elements:
            yield element.value


def as_utf8(stream: BinaryIO) -> BinaryIO:
    """JSON may be UTF-16 or UTF-32, as some editors of Windows save it."""
    encoding = json.detect_encoding(stream.read(4))
    stream.seek(0)
    return stream if encoding.startswith("utf-8") else BytesIO(stream.read().decode(encoding).encode())


def mapped(stream: BinaryIO) -> pa.RecordBatch:
    """The columns in a file, without reading them. Those of an object store are first copied to a temporary file."""
    try:
        pages = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except UnsupportedOperation:
        with tempfile.TemporaryFile() as temporary:
            shutil.copyfileobj(stream, temporary, 1 << 24)
            temporary.flush()
            pages = mmap.mmap(temporary.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_file(pa.py_buffer(pages)).get_batch(0)
