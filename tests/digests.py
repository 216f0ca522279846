"""What the files of a run hold, for comparing runs byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digests(run: Path, folders: Iterable[str], pattern: str = "*") -> dict[str, str]:
    """sha256 of every file below these folders of a run, by its path in the run."""
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted((run / folder).rglob(pattern))
        if path.is_file()
    }
