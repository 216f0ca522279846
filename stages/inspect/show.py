"""`phrasebox show`: single samples with their boxes, as an image and as lines of text."""

from __future__ import annotations

import io as bytesio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from schemas.items import flags
from schemas.records import part_of
from schemas.rows import Corners, Mask
from schemas.tables import LabelTable, PhraseTable
from stages.geometry import iou
from stages.grid import NEAR_DUPLICATE_IOU
from stages.images import open_rgb
from stages.rle import decode
from stages.sample_images import SampleImage, ShownBox, read_samples
from stages.stage import RowError, RunIO, UserError

# The page's colours for light paper, by the phrase's number.
COLOURS = ("#0072b2", "#c8510a", "#0a8a63", "#a63d86", "#8a6d00", "#5b4bbd", "#b3263e", "#3d7a1c")
LONGEST_SIDE = 1200  # pixels of the image that is drawn on
LABEL_HEIGHT = 18
TINT = 110  # of 255: how strongly a mask's colour covers the image
INK, PAPER = "#1b1b1a", "#fbfaf6"


@dataclass(frozen=True)
class Shown:
    """`png` is None where there is no image; `lines` then says why."""

    key: str
    png: bytes | None
    lines: list[str]


def show(
    io: RunIO,
    keys: Sequence[str] = (),
    phrase: str | None = None,
    limit: int = 12,
    threshold: float | None = None,
    max_pixels: int = 100_000_000,
) -> Iterator[Shown]:
    """Samples by key, or the first `limit` in which `phrase` (as its norm) has a box.

    Boxes: those that the filter kept, or with `threshold` all labelled ones that score above it. Raises UserError for a
    key that the run does not have, and for a phrase without a box.
    """
    if not keys and phrase is None:
        raise UserError("show: name a key, or a phrase with --phrase")
    found = 0
    for sample in _by_key(io, keys) if keys else _by_phrase(io, phrase or "", threshold):
        found += 1
        yield _shown(io, sample, threshold, max_pixels)
        if not keys and found == limit:
            return
    if not found:
        raise UserError(f"show: no box of the phrase {phrase!r} in this run")


def _by_key(io: RunIO, keys: Sequence[str]) -> Iterator[SampleImage]:
    parts = set(io.parts())
    for key in keys:
        if not (key.isascii() and key.isdigit() and len(key) == 12):
            raise UserError(f"show: {key!r} is no key; keys are 12 digits, as in the shards and the report")
        rows = read_samples(io, part_of(key), [key]) if part_of(key) in parts else []
        if not rows:
            raise UserError(f"show: the run has no pair {key}; it was rejected, or is of another run")
        yield rows[0]


def _by_phrase(io: RunIO, phrase: str, threshold: float | None) -> Iterator[SampleImage]:
    wanted = " ".join(phrase.lower().split())
    for part in io.parts():
        if not (io.has_part(PhraseTable.dataset, part) and io.has_part(LabelTable.dataset, part)):
            continue
        table = PhraseTable.read_part(io, part, PhraseTable.key, PhraseTable.phrases)
        named = flags(pc.equal(table.phrases.norm, wanted))  # (P,)
        keys = table.key.take(np.unique(table.phrases.row[named])).to_pylist()
        for sample in read_samples(io, part, keys):
            if any(sample.phrases[box.phrase].norm == wanted for box in visible(sample, threshold)):
                yield sample


def visible(sample: SampleImage, threshold: float | None) -> list[ShownBox]:
    """The boxes to be drawn: kept ones, or all above a threshold."""
    return [box for box in sample.boxes if (not box.reason if threshold is None else box.score > threshold)]


def _shown(io: RunIO, sample: SampleImage, threshold: float | None, max_pixels: int) -> Shown:
    boxes = visible(sample, threshold)
    lines = [f"{sample.key}  {plain(sample.pair.caption)}"]
    lines += [f"  image and caption {sample.fit:.3f}"] if sample.fit is not None else []
    lines += [_line(sample, box) for box in boxes]
    if not boxes:
        lines.append("  no boxes")
    try:
        if sample.pair.image is None:
            raise RowError("no_image")
        data = next(iter(io.image_bytes([sample.pair.image])))
        if isinstance(data, RowError):
            raise data
        return Shown(sample.key, draw(sample, boxes, data, max_pixels), lines)
    except RowError as error:
        return Shown(sample.key, None, [*lines, f"  no image: {error.reason}"])


def _line(sample: SampleImage, box: ShownBox) -> str:
    """A box in words: score, phrase, corners; where rescore has one, the cosine of its crop; why it is not kept."""
    corners = ", ".join(f"{side:g}" for side in box.corners)
    line = f"  {box.score:.3f}  {plain(sample.phrases[box.phrase].norm)}  [{corners}]"
    line += f"  crop {box.crop:.3f}" if box.crop is not None else ""
    if box.better is not None:
        phrase, score = box.better
        line += f" ({plain(sample.phrases[phrase].norm)} {score:.3f})"
    return line + (f"  {box.reason}" if box.reason else "")


def draw(sample: SampleImage, boxes: list[ShownBox], data: bytes, max_pixels: int) -> bytes:
    """A PNG: the image with boxes and masks, and below it the caption, its spans underlined in the boxes' colours.

    Raises RowError for bytes that cannot be decoded.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = open_rgb(data, max_pixels)
    size = image.size
    scale = min(LONGEST_SIDE / max(size), 4.0 if max(size) < 480 else 1.0)  # small ones are enlarged
    image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    font = ImageFont.load_default(15)
    words = _words(sample, {box.phrase for box in boxes})
    lines = _wrapped(words, font, image.width - 20)
    sheet = Image.new("RGB", (image.width, image.height + 14 + 24 * len(lines)), PAPER)
    for box in reversed(boxes):
        if box.mask is not None:
            _tint(image, box.mask, COLOURS[box.phrase % len(COLOURS)])
    sheet.paste(image)
    pen = ImageDraw.Draw(sheet)
    sx, sy = image.width / size[0], image.height / size[1]
    marks = [_mark(sample, boxes, i, (sx, sy), font) for i in range(len(boxes))]
    for corners, colour, _ in reversed(marks):
        pen.rectangle(corners, outline=colour, width=3)
    _write_labels(pen, marks, font)
    _write_caption(pen, lines, image.height + 8, font)
    out = bytesio.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _tint(image: Any, mask: Mask, colour: str) -> None:
    """Lays a colour over what a mask covers, enlarged to the drawing."""
    from PIL import Image

    pixels = decode(mask.counts, mask.height, mask.width).astype(np.uint8) * TINT
    alpha = Image.fromarray(pixels).resize(image.size, Image.Resampling.BILINEAR)
    image.paste(Image.new("RGB", image.size, colour), (0, 0), alpha)


def _mark(
    sample: SampleImage, boxes: list[ShownBox], i: int, scale: tuple[float, float], font: Any
) -> tuple[Corners, str, str]:
    """Corners in the drawing, colour and label of a box; it stands inside of better boxes that it coincides with."""
    phrase, (x1, y1, x2, y2) = boxes[i].phrase, boxes[i].corners
    better = [box.corners for box in boxes[:i] if box.phrase != phrase]
    inset = 4.0 * sum(coincide(corners, boxes[i].corners) for corners in better)
    left, top, right, bottom = x1 * scale[0], y1 * scale[1], x2 * scale[0] - 1, y2 * scale[1] - 1
    inset = min(inset, (right - left) / 3, (bottom - top) / 3) if inset else 0.0
    corners = left + inset, top + inset, max(right - inset, left + inset), max(bottom - inset, top + inset)
    label = " ".join(filter(None, [sample.phrases[phrase].norm, f"{boxes[i].score:.2f}", boxes[i].reason]))
    return corners, COLOURS[phrase % len(COLOURS)], label


def coincide(a: Corners, b: Corners) -> bool:
    """IoU of at least 0.9, the audit's near duplicate."""
    return bool(iou(np.array(a), np.array(b)) >= NEAR_DUPLICATE_IOU)


def _write_labels(pen: Any, marks: list[tuple[Corners, str, str]], font: Any) -> None:
    """Each above its box, or further down where a better box's label stands already."""
    placed: list[Corners] = []
    for (left, top, *_), colour, label in marks:
        right, top = left + font.getlength(label) + 8, max(top - LABEL_HEIGHT, 0.0)
        while any(left < r and right > x and top < b and top + LABEL_HEIGHT > y for x, y, r, b in placed):
            top += LABEL_HEIGHT
        placed.append((left, top, right, top + LABEL_HEIGHT))
        pen.rectangle(placed[-1], fill=colour)
        pen.text((left + 4, top + 1), label, fill="white", font=font)


def _words(sample: SampleImage, grounded: set[int]) -> list[tuple[str, str | None]]:
    """The caption's words with the colour of the grounded phrase that each lies in."""
    words, at, caption = [], 0, sample.pair.caption
    for word in caption.split():
        at = caption.index(word, at)
        inside = [i for i in grounded if sample.phrases[i].start <= at < sample.phrases[i].end]
        words.append((plain(word), COLOURS[inside[0] % len(COLOURS)] if inside else None))
        at += len(word)
    return words


def _wrapped(words: list[tuple[str, str | None]], font: Any, width: int) -> list[list[tuple[str, str | None]]]:
    lines: list[list[tuple[str, str | None]]] = [[]]
    used = 0.0
    for word, colour in words:
        length = font.getlength(word + " ")
        if used + length > width and lines[-1]:
            lines.append([])
            used = 0.0
        lines[-1].append((word, colour))
        used += length
    return lines[:12]


def _write_caption(pen: Any, lines: list[list[tuple[str, str | None]]], top: float, font: Any) -> None:
    for i, line in enumerate(lines):
        x, y = 10.0, top + 24 * i
        for word, colour in line:
            pen.text((x, y), word, fill=INK, font=font)
            length = font.getlength(word)
            if colour:
                pen.line((x, y + 19, x + length, y + 19), fill=colour, width=3)
            x += font.getlength(word + " ")


def plain(text: str) -> str:
    """On one line, with control characters escaped, so that a caption cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
