"""RefCOCO, RefCOCO+ and RefCOCOg (Yu et al. 2016, Mao et al. 2016): expressions that each refer to one object.

Two files of one folder: `refs(unc).json` (or umd, google), a list of references, each of an annotation of the other
file, with a split and the sentences that refer to it; and `instances.json`, as COCO's instances. The published
references are a pickle, which is never read, since reading one may run any code: `remedy` says how to convert it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.rows import Corners
from stages.annotations import Id, box_of, declared_size, decoding, id_of, read_json, reading
from stages.evaluate.gold_masks import Coded, coded
from stages.evaluate.inputs import DATA
from stages.geometry import from_xywh
from stages.stage import UserError

if TYPE_CHECKING:
    from stages.stage import Files

INSTANCES = "instances.json"
PICKLES = (".p", ".pkl", ".pickle")


@dataclass(frozen=True)
class Expression:
    """A sentence and the object that it refers to: its box, half-open pixels, and its mask."""

    text: str
    box: Corners
    mask: Coded


@dataclass(frozen=True)
class GoldImage:
    name: str
    size: tuple[int, int]  # width, height
    expressions: tuple[Expression, ...]


def instances_of(data: str) -> str:
    """The file beside that of the references."""
    return data[: data.rfind("/") + 1] + INSTANCES


def remedy(data: str) -> str:
    name = data.rsplit("/", 1)[-1]
    target = name.rpartition(".")[0] + ".json"
    return (
        f"{DATA}: {data} is a pickle, and reading one may run any code, so none is ever read; if you trust its source,"
        f' convert it once, elsewhere: python3 -c \'import json, pickle; json.dump(pickle.load(open("{name}", "rb")),'
        f' open("{target}", "w"))\''
    )


def read_gold(files: Files, data: str, split: str, count: int) -> list[GoldImage]:
    """The first `count` images of a split, in the order of its references, with all of their expressions.

    Raises UserError, also for a split without references.
    """
    if data.endswith(PICKLES):
        raise UserError(remedy(data))
    with decoding(data, DATA), files.open_source(data) as stream:
        references = json.load(stream)
    if not isinstance(references, list):
        raise UserError(f"{DATA}: {data} holds no list of references, as refs(unc).json does")
    with reading(data, "file of references", DATA) as entries:
        listed = list(entries.of({"refs": references}, "refs"))
        chosen = by_image((row for row in listed if row["split"] == split), count)
        splits = sorted({str(row["split"]) for row in listed})
    if not chosen:
        raise UserError(f"evaluate.split: {data} has no split {split!r}; there are {', '.join(splits)}")
    return images_of(files, instances_of(data), chosen)


def by_image(references: Iterable[dict[str, Any]], count: int) -> dict[Id, list[tuple[Id, list[str]]]]:
    """The first `count` images: for each reference of one, its annotation and its sentences."""
    found: dict[Id, list[tuple[Id, list[str]]]] = {}
    for row in references:
        image = id_of(row, "image_id")
        if image in found or len(found) < count:
            sentences = [str(sentence["sent"]) for sentence in row["sentences"]]
            found.setdefault(image, []).append((id_of(row, "ann_id"), sentences))
    return found


def images_of(files: Files, uri: str, chosen: dict[Id, list[tuple[Id, list[str]]]]) -> list[GoldImage]:
    """The images with their expressions, from the instances file."""
    instances = read_json(files, uri, DATA, segmentation=True)
    wanted = {annotation for own in chosen.values() for annotation, _ in own}
    with reading(uri, "COCO instances file", DATA) as entries:
        rows = {id: row for row in entries.of(instances, "images") if (id := id_of(row)) in chosen}
        sizes = {id: size_of(row) for id, row in rows.items()}
        objects: dict[Id, tuple[Corners, Coded]] = {}
        for row in entries.of(instances, "annotations"):
            if (id := id_of(row)) in wanted:
                image = id_of(row, "image_id")
                objects[id] = from_xywh(*box_of(row)), coded(row, sizes[image])
        found = []
        for image, references in chosen.items():
            expressions = [Expression(text, *objects[own]) for own, texts in references for text in texts]
            found.append(GoldImage(str(rows[image]["file_name"]), sizes[image], tuple(expressions)))
    return found


def size_of(row: dict[str, Any]) -> tuple[int, int]:
    size = declared_size(row)
    if size is None:
        raise ValueError("width and height are not above 0, so that no mask can be placed")
    return size
