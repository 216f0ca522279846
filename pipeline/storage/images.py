"""Reading image bytes in streaming order: a window of references at a time, ranges of one file in few large reads.

An image that a later window asks for again is kept until then (COCO's five captions of an image lie far apart).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import BinaryIO

from stages.stage import ImageRef, RowError

WINDOW = 256  # references looked at together
GAP = 1 << 20  # ranges closer than this are read in one go
CHUNK = 32 << 20  # and no read is larger than this, one image apart
LARGEST = 256 << 20  # an "image" beyond this is refused: nothing decodable is so large
KEPT = 256 << 20  # bytes held for later windows; what does not fit is read again

Open = Callable[[str], AbstractContextManager[BinaryIO]]


def image_bytes(open_source: Open, refs: Sequence[ImageRef]) -> Iterator[bytes | RowError]:
    """The bytes of each reference, in order. Memory: one window of images, and `KEPT` bytes of what comes again."""
    rest = iter(refs)
    to_come = Counter(refs)
    kept: dict[ImageRef, bytes | RowError] = {}
    size = 0  # of what is kept
    while window := list(islice(rest, WINDOW)):
        found = {ref: kept[ref] for ref in window if ref in kept}
        wanted = dict.fromkeys(ref for ref in window if ref not in found)
        for uri in dict.fromkeys(ref.uri for ref in wanted):
            found.update(_read_file(open_source, uri, {ref for ref in wanted if ref.uri == uri}))
        to_come.subtract(window)
        for ref, data in found.items():
            if ref in kept and not to_come[ref]:
                size -= _size(kept.pop(ref))
            elif ref not in kept and to_come[ref] and size + _size(data) <= KEPT:
                kept[ref] = data
                size += _size(data)
        for ref in window:
            yield found[ref]


def _size(data: bytes | RowError) -> int:
    return len(data) if isinstance(data, bytes) else 0


def _read_file(open_source: Open, uri: str, refs: set[ImageRef]) -> dict[ImageRef, bytes | RowError]:
    if uri.startswith(("http://", "https://")):
        return {ref: RowError("image_read_refused", f"{uri}: nothing is fetched from the web") for ref in refs}
    try:
        with open_source(uri) as file:
            return _read_refs(file, uri, refs)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return {ref: RowError("missing_image", f"{uri}: no such file") for ref in refs}


def _read_refs(file: BinaryIO, uri: str, refs: set[ImageRef]) -> dict[ImageRef, bytes | RowError]:
    size = file.seek(0, os.SEEK_END)
    found: dict[ImageRef, bytes | RowError] = {}
    ranges: list[tuple[int, int, ImageRef]] = []
    for ref in refs:
        start, length = (0, size) if ref.offset < 0 else (ref.offset, ref.length)
        if length > LARGEST:
            found[ref] = RowError("image_too_large", f"{uri}: {length} bytes")
        elif length < 0 or start + length > size:
            found[ref] = RowError("missing_image", f"{uri}: bytes {start} to {start + length} of {size}")
        else:
            ranges.append((start, start + length, ref))
    for group in _coalesced(sorted(ranges, key=lambda item: item[:2])):
        first, last = group[0][0], max(stop for _, stop, _ in group)
        file.seek(first)
        data = file.read(last - first)
        for start, stop, ref in group:
            found[ref] = data[start - first : stop - first]
    return found


def _coalesced(ranges: Sequence[tuple[int, int, ImageRef]]) -> Iterator[list[tuple[int, int, ImageRef]]]:
    """Groups of neighbouring ranges, each to be read at once."""
    group: list[tuple[int, int, ImageRef]] = []
    end = 0
    for item in ranges:
        if group and (item[0] > end + GAP or max(end, item[1]) - group[0][0] > CHUNK):
            yield group
            group = []
        end = item[1] if not group else max(end, item[1])
        group.append(item)
    if group:
        yield group
