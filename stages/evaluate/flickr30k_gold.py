"""Flickr30k Entities (Plummer et al. 2015) from its own text and XML files, or from MDETR's JSON.

Text and XML: a line of Sentences/<id>.txt is a caption with phrases marked `[/EN#<entity>/<types> <words>]`;
Annotations/<id>.xml has the boxes of each entity. An entity without a box (a scene, or nothing visible) is not asked
for. XML corners are 1-based and inclusive: the half-open box is (xmin - 1, ymin - 1, xmax, ymax).
JSON: one image row for each caption, with `tokens_positive_eval`, the spans of each phrase to be found; its boxes are
the annotations whose `tokens_positive` include these spans. Boxes (x, y, width, height) are taken as they are: MDETR
wrote the XML's corners without a shift, so they lie up to a pixel off.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from schemas.rows import Corners
from stages.annotations import Id, box_of, declared_size, id_of, read_json, reading
from stages.evaluate.inputs import DATA, check_matched
from stages.geometry import box_array, from_xywh
from stages.stage import UserError

if TYPE_CHECKING:
    from stages.stage import Files

Spans = tuple[tuple[int, int], ...]
Named = tuple[Corners, frozenset[tuple[int, int]]]  # a box and the spans that it belongs to
MARK = re.compile(r"\[/EN#(?P<entity>\d+)/(?P<types>[^\s\]]+)\s+")
ID = re.compile(r"[\w-]+")
MAX_FILE = 1 << 20  # bytes of a text or XML file; real ones have some kilobytes


@dataclass(frozen=True)
class Phrase:
    spans: Spans  # characters of the caption
    boxes: NDArray[np.float32]  # (G, 4) half-open pixels, at least one
    types: tuple[str, ...] = ()  # coarse categories: people, clothing, ...; unknown in JSON


@dataclass(frozen=True)
class Caption:
    text: str
    phrases: tuple[Phrase, ...]  # with a box
    without_box: int  # phrases that are not asked for


@dataclass(frozen=True)
class GoldImage:
    name: str
    size: tuple[int, int] | None  # width, height, as annotated
    captions: tuple[Caption, ...]


def read_gold(files: Files, data: str, count: int) -> Iterable[GoldImage]:
    """The first `count` images. `data`: MDETR's .json; a .txt list of ids with Sentences/ and Annotations/ beside it;
    or the folder that holds these two, for all its images. Raises UserError.
    """
    return from_json(files, data, count) if data.endswith(".json") else from_text(files, data, count)


def box_convention(data: str) -> str:
    """What the true boxes are made from, in words."""
    if data.endswith(".json"):
        return "MDETR-style JSON: taken as they are, (x, y, x + width, y + height)"
    return "XML: 1-based inclusive corners, made half-open as (xmin - 1, ymin - 1, xmax, ymax)"


# Text and XML


def from_text(files: Files, data: str, count: int) -> Iterator[GoldImage]:
    if data.endswith(".txt"):
        folder = data[: data.rfind("/") + 1]
        ids = read_small(files, data).split()
        if strange := next((one for one in ids if not ID.fullmatch(one)), None):
            raise UserError(f"evaluate.data: {data}: {strange[:50]!r} is not the id of an image")
    else:
        folder = f"{data.rstrip('/')}/"
        ids = sentence_files(files, folder)
    for one in ids[:count]:
        sentences = f"{folder}Sentences/{one}.txt"
        size, boxes = read_boxes(read_small(files, f"{folder}Annotations/{one}.xml"), f"{folder}Annotations/{one}.xml")
        captions = [
            read_sentence(line, boxes, f"{sentences}, line {number}")
            for number, line in enumerate(read_small(files, sentences).split("\n"), 1)
            if line.strip()
        ]
        yield GoldImage(f"{one}.jpg", size, tuple(captions))


def sentence_files(files: Files, folder: str) -> list[str]:
    """The ids of all images, sorted."""
    try:
        listed = files.list_source(f"{folder}Sentences")
    except FileNotFoundError:
        raise UserError(f"evaluate.data: {folder} has no folder Sentences; give the folder of the entities") from None
    return [name[:-4] for name in (file.uri.rsplit("/", 1)[-1] for file in listed) if name.endswith(".txt")]


def read_small(files: Files, uri: str) -> str:
    try:
        with files.open_source(uri) as stream:
            data = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise UserError(f"evaluate.data: {uri}: no such file") from None
    if len(data) > MAX_FILE:
        raise UserError(f"evaluate.data: {uri} has more than {MAX_FILE} bytes, which no file of this data set has")
    return data.decode("utf-8", errors="replace")


def read_sentence(line: str, boxes: dict[str, list[Corners]], where: str) -> Caption:
    """A line with marked phrases -> the caption and the spans of its phrases in it."""
    line = re.sub("[ \t\r]+", " ", line).strip(" ")
    text, end, without_box = "", 0, 0
    phrases: list[Phrase] = []
    for found in MARK.finditer(line):
        text += line[end : found.start()]
        start, end = len(text), closing(line, found.end(), where)
        text += line[found.end() : end]
        end += 1  # behind the bracket
        own = boxes.get(found["entity"])
        if own:
            phrases.append(Phrase(((start, len(text)),), box_array(own), tuple(found["types"].split("/"))))
        else:
            without_box += 1
    text += line[end:]
    if "/EN#" in text:
        raise not_marked(where)
    return Caption(text, tuple(phrases), without_box)


def closing(line: str, start: int, where: str) -> int:
    """Where the bracket stands that ends a phrase whose words begin at `start`: words may have brackets, too.

    Raises UserError where none does before the next phrase.
    """
    following = line.find("[/EN#", start)
    words = line[start : following if following >= 0 else len(line)]
    depth, end = 0, words.rfind("]")  # where brackets do not match, the last one
    for place, character in enumerate(words):
        depth += (character == "[") - (character == "]")
        if depth < 0:
            end = place + len(words[place:]) - len(words[place:].lstrip("]")) - 1  # the last of `]]`
            break
    if end < 1:
        raise not_marked(where)
    return start + end


def not_marked(where: str) -> UserError:
    return UserError(f"evaluate.data: {where}: a phrase is not closed, or not marked as [/EN#1/people a man]")


class NoDoctype(ElementTree.TreeBuilder):
    """Entities can only be declared in a document type; these files have none, so one is refused."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which is refused")


def read_boxes(xml: str, uri: str) -> tuple[tuple[int, int] | None, dict[str, list[Corners]]]:
    """The size (width, height) and the boxes (half-open) of each entity."""
    parser = ElementTree.XMLParser(target=NoDoctype())
    try:
        root = ElementTree.parse(io.StringIO(xml), parser).getroot()
    except ElementTree.ParseError as error:
        raise UserError(f"evaluate.data: {uri} is not well-formed XML ({error})") from None
    except ValueError as error:
        raise UserError(f"evaluate.data: {uri}: {error}") from None
    boxes: dict[str, list[Corners]] = {}
    with reading(uri, "annotation of Flickr30k Entities", DATA):
        for thing in root.findall("object"):
            bounds = thing.find("bndbox")
            if bounds is not None and len(bounds):
                x1, y1, x2, y2 = (number(bounds, side) for side in ("xmin", "ymin", "xmax", "ymax"))
                for name in thing.findall("name"):
                    boxes.setdefault(str(name.text).strip(), []).append((x1 - 1, y1 - 1, x2, y2))
        size = root.find("size")
        sides = None if size is None else declared_size({side: number(size, side) for side in ("width", "height")})
    return sides, boxes


def number(parent: ElementTree.Element, tag: str) -> float:
    text = parent.findtext(tag)
    if text is None:
        raise KeyError(tag)
    return float(text)


# JSON


def from_json(files: Files, uri: str, count: int) -> list[GoldImage]:
    """Rows of the same image become one Image, in the file's order."""
    data = read_json(files, uri, DATA)
    with reading(uri, "MDETR-style JSON", DATA) as entries:
        check_matched(entries, data, uri)
        by_row: dict[Id, list[Named]] = {}
        for annotation in entries.of(data, "annotations"):
            named = from_xywh(*box_of(annotation)), frozenset(as_spans(annotation["tokens_positive"]))
            by_row.setdefault(id_of(annotation, "image_id"), []).append(named)
        found: dict[str, GoldImage] = {}
        for row in entries.of(data, "images"):
            name = str(row["file_name"])
            if name in found or len(found) < count:
                image = found.get(name) or GoldImage(name, declared_size(row), ())
                caption = caption_of_row(row, by_row.get(id_of(row), []))
                found[name] = replace(image, captions=(*image.captions, caption))
    return list(found.values())


def as_spans(value: Any) -> Spans:
    return tuple((int(start), int(end)) for start, end in value)


def caption_of_row(row: dict[str, Any], annotations: Sequence[Named]) -> Caption:
    phrases, without_box = [], 0
    for wanted in row["tokens_positive_eval"]:
        spans = as_spans(wanted)
        boxes = [box for box, named in annotations if named.issuperset(spans)]
        if boxes and spans:
            phrases.append(Phrase(spans, box_array(boxes)))
        else:
            without_box += 1
    return Caption(str(row["caption"]), tuple(phrases), without_box)
