"""What a teacher of photos is measured on: phrases with boxes that people made, and COCO's photos with captions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.glip_photos.nouns import category_of, names_of
from stages.agreement import Characters, named_spans
from stages.geometry import box_array, from_xywh
from stages.phrases import NounPhrase, NounPhraseExtractor

Span = tuple[int, int]
SMALL = 32 * 32  # square pixels; a phrase is asked to be found where its category has a box at least as large


@dataclass(frozen=True)
class Phrase:
    """One phrase of a caption. A box for it is right on any of `boxes`, and not counted on `crowds`."""

    spans: tuple[Span, ...]
    text: str
    boxes: NDArray[np.float32]  # (N, 4) half-open pixels; none: whatever is found is wrong
    crowds: NDArray[np.float32]  # (M, 4)
    category: str | None = None  # of COCO's
    wanted: bool = True  # counts for recall


@dataclass(frozen=True)
class Photo:
    """An image, a caption, its phrases. Two of one image share its key."""

    key: str
    path: Path
    caption: str
    phrases: list[Phrase]


def flickr(annotations: Path, images: Path) -> list[Photo]:
    """Photos of Flickr30k Entities in MDETR's form, with the phrases that people gave boxes."""
    data = json.loads(annotations.read_text())
    grouped: dict[int, dict[tuple[Span, ...], list[Any]]] = {}
    for row in data["annotations"]:
        spans = tuple((start, end) for start, end in row["tokens_positive"])
        grouped.setdefault(row["image_id"], {}).setdefault(spans, []).append(from_xywh(*row["bbox"]))
    photos = []
    for row in data["images"]:
        phrases = [
            Phrase(spans, text_of(row["caption"], spans), box_array(boxes), box_array([]))
            for spans, boxes in grouped.get(row["id"], {}).items()
        ]
        photos.append(Photo(row["file_name"], images / row["file_name"], row["caption"], phrases))
    return [photo for photo in photos if photo.phrases]


def extracted(photos: list[Photo], extractor: NounPhraseExtractor) -> list[Photo]:
    """The same photos with the extractor's phrases: each stands for the gold phrase that it overlaps most.

    A phrase that overlaps none is left out: people gave boxes to what they thought could be boxed, not to all there is.
    A gold phrase that several name goes to the one that overlaps it most; one that none names stays, to be missed.
    """
    return renamed(photos, extractor.extract([photo.caption for photo in photos]))


def renamed(photos: list[Photo], found: Sequence[Sequence[NounPhrase]]) -> list[Photo]:
    """The same photos with other phrases of their captions, as `extracted` says."""
    results = []
    for photo, own in zip(photos, found, strict=True):
        outer = [(min(s for s, _ in p.spans), max(e for _, e in p.spans)) for p in photo.phrases]
        best: dict[int, tuple[int, Span]] = {}
        spans = Characters.of_one_row([(phrase.start, phrase.end) for phrase in own])
        named = named_spans(spans, Characters.of_one_row(outer))
        for phrase, gold in zip(own, named.tolist(), strict=True):
            if gold >= 0:
                overlap = min(phrase.end, outer[gold][1]) - max(phrase.start, outer[gold][0])
                best[gold] = max(best.get(gold, (0, (0, 0))), (overlap, (phrase.start, phrase.end)))
        phrases = [
            Phrase((best[i][1],) if i in best else (), phrase.text, phrase.boxes, phrase.crowds)
            for i, phrase in enumerate(photo.phrases)
        ]
        results.append(Photo(photo.key, photo.path, photo.caption, phrases))
    return results


def coco_captions(folder: Path, extractor: NounPhraseExtractor) -> list[Photo]:
    """The captions of coco-mini with the extractor's phrases whose head names one of the categories."""
    instances = json.loads((folder / "instances.json").read_text())
    categories = {row["id"]: row["name"] for row in instances["categories"]}
    names = names_of(list(categories.values()))
    boxes: dict[tuple[int, str], list[Any]] = {}
    for row in instances["annotations"]:
        boxes.setdefault((row["image_id"], categories[row["category_id"]]), []).append(row)
    files = {row["id"]: row["file_name"] for row in instances["images"]}
    rows = sorted(json.loads((folder / "captions.json").read_text())["annotations"], key=lambda row: row["id"])
    photos = []
    for row, found in zip(rows, extractor.extract([row["caption"] for row in rows]), strict=True):
        phrases = []
        for one in found:
            category = category_of(one.text, names)
            if category is None:
                continue
            own = boxes.get((row["image_id"], category), [])
            things = box_array([from_xywh(*box["bbox"]) for box in own if not box["iscrowd"]])
            crowds = box_array([from_xywh(*box["bbox"]) for box in own if box["iscrowd"]])
            wanted = bool(len(things) and (things[:, 2:] - things[:, :2]).prod(1).max() >= SMALL)
            phrases.append(Phrase(((one.start, one.end),), one.text, things, crowds, category, wanted))
        if phrases:
            file = files[row["image_id"]]
            photos.append(Photo(file, folder / "images" / file, row["caption"], phrases))
    return photos


def text_of(caption: str, spans: tuple[Span, ...]) -> str:
    return " ".join(caption[start:end] for start, end in spans)
