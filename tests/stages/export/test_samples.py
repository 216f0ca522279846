"""What all exports share: the samples of a run and the bytes of their images."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from stages.export.formats import export


def test_other_image_formats_keep_their_bytes_and_get_their_own_suffix(
    shapes: Callable[..., Any], tmp_path: Path
) -> None:
    run = shapes().fill(4)
    buffer = io.BytesIO()
    Image.new("RGB", (320, 240), "red").save(buffer, "PNG")
    key = next(row["key"] for row in run.rows["pseudo"] if row["boxes"])
    (run.root / "images" / f"{key}.jpg").write_bytes(buffer.getvalue())
    written = {}

    @contextmanager
    def create(name: str) -> Iterator[BinaryIO]:
        written[name] = io.BytesIO()
        yield written[name]

    export(run.all_parts(), "odvg", create, config=run.config)
    assert written[f"images/{key}.png"].getvalue() == buffer.getvalue()
