"""Which options mean something to which format. One that a source cannot use is an error, never ignored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from stages.stage import Slice, UserError

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_TABLES = ("table", "grit")
_USED_BY = {
    "split": ("scenes",),
    "seed": ("scenes",),
    "caption": (*_TABLES, "webdataset"),
    "image": (*_TABLES, "webdataset"),
    "url": _TABLES,
    "id": _TABLES,
    "divider": _TABLES,
    "quoting": _TABLES,
    "header": _TABLES,
    "images": (*_TABLES, "coco", "odvg"),
    "instances": ("coco",),
}
OF_TEXT = ("divider", "quoting", "header")


def check_options(config: IngestConfig, format: str) -> None:
    """Raises UserError for an option that is set and that the format does not use."""
    for name, formats in _USED_BY.items():
        if is_set(config, name) and format not in formats:
            raise UserError(
                f"ingest.{name}: the source {config.source} is read as {format}, which does not use this option"
                f" ({', '.join(formats)} do); leave it out, or set ingest.format"
            )


def check_planned(config: IngestConfig, pieces: Sequence[Slice]) -> None:
    """The same for options of tables of text, where the source turned out to have none. Raises UserError."""
    wanted = next((name for name in OF_TEXT if is_set(config, name)), "")
    if wanted and not any("dialect" in piece.extra for piece in pieces):
        raise UserError(f"ingest.{wanted}: no file of {config.source} is a table of text with dividers; leave it out")


def is_set(config: IngestConfig, name: str) -> bool:
    return bool(getattr(config, name) != type(config).model_fields[name].default)
