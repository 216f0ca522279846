"""Readers of boxes in text, told from what the models' own code does: a text becomes phrases and boxes in pixels.

Kosmos-2's and Florence-2's are those of transformers. A reader that cannot tell where a phrase begins gives all text
before its boxes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Corners = tuple[float, ...]
Size = tuple[int, int]
Read = Callable[[str, Size], list[tuple[str, Corners]]]


@dataclass(frozen=True)
class TextReader:
    """`read(text, size)` -> phrases and boxes; `step(size)`: how far a corner may be off, in pixels, (x, y)."""

    read: Read
    step: Callable[[Size], tuple[float, float]]
    whole_phrases: bool = True


def without_boxes(format: str, question: str, answer: str) -> str:
    """The caption that a model is taught to say: what is left of the answer (Florence-2: of the question) without the
    format's own marks."""
    if format == "florence-2":
        return question.partition("<CAPTION_TO_PHRASE_GROUNDING>")[2]
    if format.startswith("qwen"):
        return answer.splitlines()[0]
    if format == "paligemma":
        return answer.partition(" <loc")[0]
    if format == "kosmos-2":
        return re.sub(r"<object>.*?</object>|</?phrase>", "", answer)
    return re.sub(r" ?\[[^\]]*\]", "", answer)


def unscaled(numbers: list[float], frame: tuple[float, float], size: Size) -> Corners:
    return tuple(number * side / whole for number, side, whole in zip(numbers, size * 2, frame * 2, strict=True))


def bins(count: int) -> Callable[[Size], tuple[float, float]]:
    return lambda size: (size[0] / count, size[1] / count)


def resized(size: Size) -> tuple[int, int]:
    """(width, height) after Qwen2.5-VL's resizing, which makes images of less than 3136 pixels larger; of ours, none
    has more than the 12845056 pixels of its checkpoints."""
    height, width = round(size[1] / 28) * 28, round(size[0] / 28) * 28
    if height * width < 3136:
        scale = math.sqrt(3136 / (size[0] * size[1]))
        return math.ceil(size[0] * scale / 28) * 28, math.ceil(size[1] * scale / 28) * 28
    return width, height


def half_a_pixel(size: Size) -> tuple[float, float]:
    width, height = resized(size)
    return 0.51 * size[0] / width, 0.51 * size[1] / height


def json_objects(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text[text.index("[") :])
    return found


def qwen25(text: str, size: Size) -> list[tuple[str, Corners]]:
    return [(one["label"], unscaled(one["bbox_2d"], resized(size), size)) for one in json_objects(text)]


def qwen3(text: str, size: Size) -> list[tuple[str, Corners]]:
    return [(one["label"], unscaled(one["bbox_2d"], (1000, 1000), size)) for one in json_objects(text)]


def paligemma(text: str, size: Size) -> list[tuple[str, Corners]]:
    found = []
    for match in re.finditer(r"<loc(\d{4})><loc(\d{4})><loc(\d{4})><loc(\d{4})>\s*([^;<>]*)", text):
        y1, x1, y2, x2 = (int(number) / 1023 for number in match.groups()[:4])
        found.append((match[5].strip(), unscaled([x1, y1, x2, y2], (1, 1), size)))
    return found


def florence(text: str, size: Size) -> list[tuple[str, Corners]]:
    from transformers.models.florence2.processing_florence2 import Florence2PostProcessor

    reader = Florence2PostProcessor.__new__(Florence2PostProcessor)
    reader.quantize_bins, reader.banned_grounding_tokens = (1000, 1000), set()
    found = reader.parse_phrase_grounding_from_text_and_spans(text, image_size=size)
    return [(one["cat_name"], tuple(box)) for one in found for box in one["bbox"]]


def kosmos(text: str, size: Size) -> list[tuple[str, Corners]]:
    from transformers.models.kosmos2.processing_kosmos2 import clean_text_and_extract_entities_with_bboxes

    plain, entities = clean_text_and_extract_entities_with_bboxes(text)  # type: ignore[no-untyped-call]
    found = []
    for phrase, (start, end), boxes in entities:
        assert phrase.startswith("<patch") or plain[start:end] == phrase
        found += [(phrase, unscaled(list(box), (1, 1), size)) for box in boxes]
    return found


def shikra(text: str, size: Size) -> list[tuple[str, Corners]]:
    """As Shikra's box formatter extracts: a bracket of four numbers of one digit before the point, `;` between."""
    number = r"\d(?:\.\d*)?"
    box = rf"{number}(?:,{number}){{3}}"
    found, at = [], 0
    for match in re.finditer(rf"\[{box}(?:;{box})*\]", text):
        for one in match[0][1:-1].split(";"):
            found.append((text[at : match.start()], unscaled([*map(float, one.split(","))], (1, 1), size)))
        at = match.end()
    return found


def ferret(text: str, size: Size) -> list[tuple[str, Corners]]:
    """As Ferret's evaluation does: whatever is in brackets is whole numbers, in thousandths of the sides."""
    found, before = [], ""
    for piece, inside in re.findall(r"([^\[\]]*)\[([^\[\]]*)\]", text):
        before = piece if piece.strip() else before
        found.append((before, unscaled([*map(int, inside.split(","))], (1000, 1000), size)))
    return found


TEXT_READERS = {
    "qwen2.5-vl": TextReader(qwen25, half_a_pixel),
    "qwen3-vl": TextReader(qwen3, bins(1960)),
    "paligemma": TextReader(paligemma, bins(2006)),
    "florence-2": TextReader(florence, lambda size: (size[0] / 1000 + 1, size[1] / 1000 + 1)),
    "kosmos-2": TextReader(kosmos, bins(31)),
    "shikra": TextReader(shikra, bins(1960), whole_phrases=False),
    "ferret": TextReader(ferret, bins(990), whole_phrases=False),
}
