"""Cheap rules of quality, each off by default: what is measured of a pair, and which rule it breaks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stages.geometry import Flags
from stages.hashes import hash_texts

if TYPE_CHECKING:
    import pyarrow as pa

    from schemas.config import CurateConfig

MEASURED = 256  # pixels of the square on which an image is measured
CELL = 16  # pixels of a side of the cells in which text is looked for
CONTRAST, NEAR_ENDS, MIDDLE = 96, 24, 0.25  # levels between ink and paper; around each of them; share of others

BROKEN = (
    "small_image", "extreme_aspect", "blurred_image", "plain_image", "text_image",
    "file_name_caption", "boilerplate_caption", "low_similarity", "repeated_caption",
)  # fmt: skip
KEYS = (
    "min_side", "max_aspect", "min_sharpness", "min_entropy", "max_text",
    "drop_file_names", "drop_boilerplate", "min_similarity", "max_caption_repeats",
)  # fmt: skip
"""Of the config, that turn them on."""
COLUMNS = ("width", "height", "sharpness", "entropy", "text", "file_name", "boilerplate")
OF_IMAGES = ("min_sharpness", "min_entropy", "max_text")  # rules for which images are measured

FILE_NAME = re.compile(
    r"\S+\.(jpe?g|png|gif|webp|bmp|tiff?|heic)|(img|dsc[fn]?|dcim|pict?|image|photo|scan)[-_ ]?\d+", re.I
)
CAMERA = re.compile(r"[\W\d_]*")  # nothing but digits and signs: 20180304_113000, (1)
BOILERPLATE = re.compile(
    r"(image|photo|picture|thumbnail|logo|icon|avatar|banner|placeholder)( (image|photo|picture))?"
    r"|(click|tap) (here|image|photo|picture|to)( \w+){0,4}"
    r"|(view|see) (larger|full|original)( size)?( image| photo| picture)?"
    r"|(no|missing) (image|photo|picture)( available)?|(image|photo|picture) (not available|unavailable|loading)"
    r"|(stock|free) (photo|image|picture)s?|untitled|default|loading|profile (photo|picture|image)",
    re.I,
)


def measure(grey: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Sharpness, entropy and share of text of an image (MEASURED, MEASURED).

    Sharpness is the variance of the Laplacian (of the four neighbours); entropy is that of the histogram of levels, 0
    to 8 bits; text is the share of cells that hold two levels, ink and paper, and little between them.
    """
    pixels = grey.astype(np.int64)
    around = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:]
    counts = np.bincount(grey.reshape(-1), minlength=256)
    share = counts[counts > 0] / grey.size
    cells = pixels.reshape(MEASURED // CELL, CELL, -1, CELL).swapaxes(1, 2).reshape(-1, CELL * CELL)
    low, high = cells.min(1, keepdims=True), cells.max(1, keepdims=True)
    middle = ((cells > low + NEAR_ENDS) & (cells < high - NEAR_ENDS)).mean(1)
    text = ((high - low)[:, 0] >= CONTRAST) & (middle <= MIDDLE)
    return float((around - 4 * pixels[1:-1, 1:-1]).var()), float(-(share * np.log2(share)).sum()), float(text.mean())


def caption_hashes(captions: Sequence[str]) -> NDArray[np.uint64]:
    """Of each caption, folded."""
    return hash_texts(map(folded, captions))


def folded(caption: str) -> str:
    """Without regard to case, kinds of white space and Unicode forms."""
    return " ".join(unicodedata.normalize("NFKC", caption).casefold().split())


def is_file_name(caption: str) -> bool:
    """Whether the caption is only the name that a camera, a program or an upload gave to a file."""
    text = caption.strip()
    return bool(FILE_NAME.fullmatch(text) or CAMERA.fullmatch(text))


def is_boilerplate(caption: str) -> bool:
    """Whether the caption is what a page says where it has nothing to say about the image."""
    return bool(BOILERPLATE.fullmatch(caption.strip(" \t\r\n.:!…-|")))


def measures_images(config: CurateConfig) -> bool:
    return any(getattr(config, name) is not None for name in OF_IMAGES)


def are_on(config: CurateConfig) -> bool:
    others = (config.min_side, config.max_aspect, config.max_caption_repeats)
    return measures_images(config) or config.drop_file_names or config.drop_boilerplate or any(others)


def columns(pairs: Any, measured: Sequence[tuple[float, float, float] | None]) -> dict[str, Any]:
    """What the rules ask of the pairs of a part (a PairTable), by column; null where there is no image to measure."""
    import pyarrow as pa

    captions = pairs.caption.to_pylist()
    sharpness, entropy, text = (
        zip(*(entry or (None,) * 3 for entry in measured), strict=True) if measured else ([],) * 3
    )
    return {
        "width": pairs.table["width"],
        "height": pairs.table["height"],
        "sharpness": pa.array(sharpness, pa.float32()),
        "entropy": pa.array(entropy, pa.float32()),
        "text": pa.array(text, pa.float32()),
        "file_name": pa.array([is_file_name(caption) for caption in captions], pa.bool_()),
        "boilerplate": pa.array([is_boilerplate(caption) for caption in captions], pa.bool_()),
    }


def broken(table: pa.Table, config: CurateConfig) -> NDArray[np.int8]:
    """(N,) the first rule about COLUMNS that each pair breaks, as an index of BROKEN; -1: none. Nulls break none."""

    def column(name: str) -> NDArray[np.float64]:
        values: NDArray[np.float64] = table[name].to_numpy().astype(np.float64)
        return values

    def if_set(value: float | None, test: Any) -> Flags:
        return np.zeros(table.num_rows, np.bool_) if value is None else test(value)

    width, height = column("width"), column("height")
    with np.errstate(invalid="ignore"):
        short, long = np.minimum(width, height), np.maximum(width, height)
        tests = [
            if_set(config.min_side, lambda least: short < least),
            if_set(config.max_aspect, lambda most: long > most * short),
            if_set(config.min_sharpness, lambda least: column("sharpness") < least),
            if_set(config.min_entropy, lambda least: column("entropy") < least),
            if_set(config.max_text, lambda most: column("text") > most),
            column("file_name").astype(np.bool_) & config.drop_file_names,
            column("boilerplate").astype(np.bool_) & config.drop_boilerplate,
        ]
    found = np.full(table.num_rows, -1, np.int8)
    for number in reversed(range(len(tests))):
        found[tests[number]] = number
    return found


def beyond(hashes: NDArray[np.uint64], taking_part: Flags, most: int) -> Flags:
    """(P,) whether as many as `most` earlier pairs have the same caption; only pairs that take part count."""
    numbers = np.flatnonzero(taking_part)
    order = numbers[np.argsort(hashes[numbers], kind="stable")]
    ordered = hashes[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else order
    place = np.arange(len(order)) - np.repeat(begins, np.diff(np.append(begins, len(order))))
    found = np.zeros(len(hashes), np.bool_)
    found[order] = place >= most
    return found
