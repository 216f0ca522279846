"""One big JSON object of arrays, written in bounded memory: arrays grow in scratch files and are joined at the end."""

from __future__ import annotations

import json
import shutil
import tempfile
from typing import Any, BinaryIO

_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\u0085\u2028\u2029"}


def encode(value: Any) -> bytes:
    """Compact UTF-8 JSON on one line, also for readers to whom U+0085, U+2028 and U+2029 end one (`str.splitlines`).

    NaN is an error: no reader agrees on it.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_LINE_ENDS).encode()


class ArraysFile:
    """`{"info": ..., "images": [...], "annotations": [...]}`: `fixed` first, then the arrays in the order given."""

    def __init__(self, arrays: tuple[str, ...]) -> None:
        self._scratch = {name: tempfile.TemporaryFile() for name in arrays}  # noqa: SIM115 - closed by `finish`

    def add(self, array: str, value: Any) -> None:
        scratch = self._scratch[array]
        if scratch.tell():
            scratch.write(b",\n")
        scratch.write(encode(value))

    def finish(self, file: BinaryIO, fixed: dict[str, Any]) -> None:
        file.write(b"{")
        for name, value in fixed.items():
            file.write(encode(name) + b":" + encode(value) + b",\n")
        for i, (name, scratch) in enumerate(self._scratch.items()):
            file.write((b",\n" if i else b"") + encode(name) + b":[")
            scratch.seek(0)
            shutil.copyfileobj(scratch, file)
            scratch.close()
            file.write(b"]")
        file.write(b"}\n")
