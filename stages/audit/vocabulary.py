"""Category names of public benchmarks, to see how much of them the labels cover."""

from __future__ import annotations

import re
from typing import Any

from stages.json_stream import stream
from stages.stage import Files, UserError

COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign, "
    "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, "
    "handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, "
    "surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, "
    "mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, "
    "teddy bear, hair drier, toothbrush"
)


def plural(noun: str) -> str:
    """The regular English plural."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


Category = tuple[str, tuple[str, ...]]  # its name, and every text that names it: synonyms and regular plurals
Vocabularies = dict[str, list[Category]]

FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}  # LVIS's classes, by how many training images show one


def vocabularies(files: Files, uri: str | None) -> Vocabularies:
    """COCO's 80 categories, and those of an annotation JSON of COCO's kind where `uri` names one (audit.categories).

    Where its categories have a `frequency`, as in LVIS, each class is a vocabulary of its own. Raises UserError for a
    file without categories.
    """
    found = {"COCO": [_category([name]) for name in COCO.split(", ")]}
    if uri is None:
        return found
    title = uri.rpartition("/")[2].removesuffix(".json")
    kinds: Vocabularies = {kind: [] for kind in ("", *FREQUENCIES.values())}
    for record in _read(files, uri):
        synonyms = record.get("synonyms")
        names = [record["name"], *(synonyms if isinstance(synonyms, list) else [])]
        kinds[FREQUENCIES.get(str(record.get("frequency")), "")].append(_category(names))
    return found | {f"{title}, {kind}" if kind else title: group for kind, group in kinds.items() if group}


def _read(files: Files, uri: str) -> list[dict[str, Any]]:
    try:
        with files.open_source(uri) as file:
            records = [element.value for element in stream(file) if element.array == "categories"]
    except FileNotFoundError:
        raise UserError(f"audit.categories: {uri}: no such file") from None
    except ValueError as error:
        raise UserError(f"audit.categories: {uri} is no annotation JSON: {error}") from None
    if not records or not all(isinstance(r, dict) and _plain(str(r.get("name") or "")) for r in records):
        raise UserError(f"audit.categories: {uri} has no `categories` with a `name` each")
    return records


def _category(names: list[Any]) -> Category:
    plain = list(dict.fromkeys(filter(None, map(_plain, map(str, names)))))
    return plain[0], tuple(text for name in plain for text in (name, plural(name)))


def _plain(name: str) -> str:
    """As it would stand in a caption: LVIS writes `bow_(weapon)` for a bow."""
    return " ".join(re.sub(r"\([^)]*\)", " ", name.replace("_", " ")).lower().split())
