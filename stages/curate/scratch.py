"""Arrays in the scratch files that a merge shares with its blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.stage import Scratch


def save(scratch: Scratch, name: str, array: NDArray[Any]) -> None:
    with scratch.create(name) as file:
        np.save(file, array, allow_pickle=False)


def load(scratch: Scratch, name: str) -> NDArray[Any]:
    """Into memory."""
    found: NDArray[Any] = np.load(scratch.path(name), allow_pickle=False)
    return found


def opened(scratch: Scratch, name: str) -> NDArray[Any]:
    """Mapped into memory, page by page as it is looked at."""
    found: NDArray[Any] = np.load(scratch.path(name), mmap_mode="r", allow_pickle=False)
    return found


def mapped(path: Path, shape: tuple[int, ...], kind: Any = np.uint8) -> NDArray[Any]:
    """The same of a file without a header."""
    return np.memmap(path, kind, "r", shape=shape) if shape[0] else np.empty(shape, kind)
