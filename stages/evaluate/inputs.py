"""The images of a benchmark on disk. Whatever is wrong with one is a UserError that names the file.

A benchmark is a fixed set: an image that cannot be read stops the evaluation, since a figure over fewer images would
be another figure under the same name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from stages.annotations import Entries, same_id
from stages.frames import relation
from stages.image_headers import read_header
from stages.images import decode_rgb
from stages.stage import ImageRef, RowError, UserError
from stages.train.annotated import safe_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stages.stage import Files

DATA = "evaluate.data"  # the key of the annotation file
MAX_PIXELS = 100_000_000
Item = TypeVar("Item")


def read_image(
    files: Files,
    folder: str,
    names: Sequence[str],
    size: tuple[int, int] | None = None,
    key: str = "evaluate.images",
) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of the first of `names` that lies in the folder; its size must be the annotated (width, height).

    A figure over images that were resized since would be another figure under the same name.
    """
    try:
        data = stored_bytes(files, folder, names)
        pixels = decode_rgb(data, MAX_PIXELS)
    except RowError as error:
        raise UserError(f"{key}: {folder}/{names[0]}: {error}") from None
    height, width = pixels.shape[:2]
    found = relation(size, (width, height), read_header(data).orientation)
    if size is not None and found != "same":
        remedy = "store it upright" if found == "turned" else "use the images in their original size"
        raise UserError(
            f"{key}: {folder}/{names[0]} is {width} x {height}, its annotations are for {size[0]} x {size[1]}"
            f" pixels; {remedy}"
        )
    return pixels


def stored_bytes(files: Files, folder: str, names: Sequence[str]) -> bytes:
    """Raises RowError, that of the first name."""
    refs = [ImageRef(f"{folder.rstrip('/')}/{safe_name(name)}") for name in names]
    first: RowError | None = None
    for ref in refs:
        data = next(iter(files.image_bytes([ref])))
        if not isinstance(data, RowError):
            return data
        first = first or data
    raise first or RowError("missing_image", "it has no name")


def check_matched(entries: Entries, data: dict[str, Any], uri: str, key: str = DATA) -> None:
    """Raises UserError for an annotation file none of whose annotations is of one of its images."""
    known = {same_id(row["id"]) for row in entries.of(data, "images")}
    found = [same_id(annotation["image_id"]) for annotation in entries.of(data, "annotations")]
    if found and known.isdisjoint(found):
        raise UserError(
            f"{key}: {uri}: none of its {len(found):,} annotations is of one of its {len(known):,} images (image_id"
            f" {found[0]!r} where ids are like {next(iter(known), None)!r})"
        )


def check_boxes(boxes: int, uri: str, images: int, key: str = DATA) -> None:
    """Raises UserError where nothing can be measured."""
    if not boxes:
        raise UserError(f"{key}: {uri}: no true box in the {images:,} images that are measured, so there is no figure")


def in_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def data_name(data: str, images: str) -> dict[str, str]:
    """What was measured on, for the result."""
    return {"annotations": data, "images": images}
