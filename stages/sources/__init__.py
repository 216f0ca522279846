"""Where image-caption pairs come from: one file per kind of source. `open_source` picks by ingest.format."""

from __future__ import annotations

from typing import Any

from stages.sources.row import Source
from stages.stage import UserError


def open_source(config: Any) -> Source:
    """The source that a resolved ingest section describes. Raises UserError."""
    if config.format == "scenes":
        from stages.sources.scenes_source import ScenesSource

        return ScenesSource(config)
    raise UserError(f"ingest.format: no reader for {config.format!r}")


def resolve(config: Any) -> dict[str, Any]:
    """What `auto` comes to, and paths made absolute, since workers may start elsewhere. Raises UserError."""
    if config.source == "scenes" and config.format in ("auto", "scenes"):
        return {"format": "scenes"}
    raise UserError(f"ingest.format: no reader for {config.format!r}")
