"""What was understood of a source: as values of the config, and in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from schemas.dividers import DIVIDERS
from stages.images import inspect
from stages.ingest import sources
from stages.ingest.names import below, folder_of
from stages.ingest.options import is_set
from stages.ingest.row import Row
from stages.ingest.text import check_caption, storable
from stages.stage import Files, RowError, Slice

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_FILES = 5  # that are described
_ROLES = ("caption", "image", "url", "id")
_LOOKED_AT = 200  # rows that are read to show the first pairs


def resolved(config: IngestConfig, pieces: Sequence[Slice]) -> dict[str, Any]:
    """Values of the ingest section that were found out, where all files agree and the config leaves them open."""
    read = [piece for piece in pieces if "damaged" not in piece.extra]
    facts = [_facts(piece) for piece in read]
    found = {"format": read[0].extra["format"]} if read else {}
    for name in dict.fromkeys(chain.from_iterable(facts)):
        values = [fact.get(name) for fact in facts]
        if not is_set(config, name) and values.count(values[0]) == len(values) and values[0] is not None:
            found[name] = values[0]
    return found


def _facts(piece: Slice) -> dict[str, Any]:
    extra = piece.extra
    found: dict[str, Any] = {role: name for role in _ROLES if (name := extra.get("columns", {}).get(role))}
    if "dialect" in extra:
        divider = extra["dialect"]["delimiter"].strip(" ")
        found["divider"] = next(name for name, character in DIVIDERS.items() if character == divider)
        found["quoting"] = "csv" if extra["dialect"]["quotes"] else "none"
        found["header"] = extra["dialect"]["header"]
    if extra.get("images") and extra["images"] != folder_of(piece.uri):
        found["images"] = extra["images"]
    found |= extra.get("members", {})
    return found


def described(config: IngestConfig, files: Files, pieces: Sequence[Slice]) -> Iterator[str]:
    """Lines for a person: format, how each file is read, and the first three pairs."""
    firsts = list({piece.uri: piece for piece in reversed(pieces)}.values())[::-1]
    number = f"{len(firsts):,} files" if len(firsts) > 1 else "1 file"
    yield f"source     {config.source}: {pieces[0].extra['format']}, {number}"
    for piece in firsts[:_FILES]:
        words = ", ".join(_words(piece))
        yield f"  {below(piece.uri, config.source)}" + (f": {words}" if words else "")
    if len(firsts) > _FILES:
        yield f"  ... and {len(firsts) - _FILES:,} more files"
    yield "first pairs"
    rows = islice(_rows(config, files, pieces), _LOOKED_AT)
    pairs = islice((pair for row in rows if (pair := _pair(config, files, row))), 3)
    yield from [f"  {pair}" for pair in pairs] or [f"  none of the first {_LOOKED_AT} rows can be used"]


def _words(piece: Slice) -> Iterator[str]:
    extra = piece.extra
    if "damaged" in extra:
        yield f"cannot be read: {extra['damaged']}"
    facts = _facts(piece)
    for name in ("divider", "quoting", "header"):
        if name in facts:
            yield f"{name} {facts[name]}" if isinstance(facts[name], str) else "header" if facts[name] else "no header"
    for role, column in {**extra.get("columns", {}), **extra.get("members", {})}.items():
        yield f"{role} = {column!r}"
    if extra.get("captions"):
        yield f"several captions a row ({extra['captions']})"
    if "images" in extra and ("image" in extra.get("columns", {"image": ""}) or extra.get("by_id")):
        yield f"images in {extra['images']}" if extra["images"] else "no folder of images"


def _rows(config: IngestConfig, files: Files, pieces: Iterable[Slice]) -> Iterator[Row]:
    return chain.from_iterable(sources.rows(config, files, piece) for piece in pieces)


def _pair(config: IngestConfig, files: Files, row: Row) -> str:
    """A row in words; "" for one that would be rejected."""
    try:
        if row.error is not None:
            raise row.error
        caption = check_caption(row.caption, config.max_caption_chars)
        data = row.data if row.image is None else next(iter(files.image_bytes([row.image])))
        if isinstance(data, RowError):
            raise data
        info = None if data is None else inspect(data, config.max_pixels)
    except RowError:
        return ""
    where = row.image.uri if row.image else "bytes of its own"
    image = "no image" if info is None else f"{where} ({info.width} x {info.height})"
    gold = f", {len(row.gold.boxes)} true boxes" if row.gold else ""
    return f"{storable(row.source_id)}: {caption[:120]!r}, {image}{gold}"
