"""What the engine asks of the place that a run folder lies in.

A file is first a `StagedFile`: bytes that nobody sees, hashed while they are written. Publishing is one atomic step, on
a disk a rename after fsync, in an object store one PUT (or a completed multipart upload).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from pipeline.storage.staged import StagedFile


class Storage:
    """Paths are relative to the root, with `/`. `root` is absolute, or a URI."""

    local: bool

    def __init__(self, root: str) -> None:
        self.root = root

    def open(self, path: str) -> BinaryIO:
        """A seekable reader. Raises FileNotFoundError."""
        raise NotImplementedError

    def read(self, path: str) -> bytes:
        raise NotImplementedError

    def local_file(self, path: str) -> Path:
        """The file on this machine's disk; of one in an object store, a copy, which goes with this process."""
        raise NotImplementedError

    def write(self, path: str, data: bytes, durable: bool = True) -> None:
        """The whole file at once, atomically; not `durable`: a power cut may lose it (heartbeats)."""
        raise NotImplementedError

    def create(self, path: str, data: bytes) -> None:
        """Writes a small file where there is none. Raises FileExistsError where there is one, if the store can tell."""
        raise NotImplementedError

    def append(self, path: str, data: bytes) -> None:
        """Adds to the end of a file, which may be absent, durably; for small files that one process writes.

        A store that knows no appending has the file written again, whole and atomically.
        """
        self.write(path, (self.read_or_none(path) or b"") + data)

    def staged(self, path: str, attempt: str) -> StagedFile:
        raise NotImplementedError

    def list(self, folder: str) -> dict[str, int]:
        """Size of every file at or below a folder, by path, sorted; empty where the folder is absent."""
        raise NotImplementedError

    def move(self, path: str, to: str) -> None:
        """Gives a file another name, in the place of one that has it; a kill leaves it under one name or both."""
        raise NotImplementedError

    def delete(self, path: str) -> None:
        """No error when it is gone already."""
        raise NotImplementedError

    def delete_folder(self, folder: str) -> None:
        for path in self.list(folder):
            self.delete(path)

    def stamps(self, folder: str) -> dict[str, str]:
        """Of every file below a folder, by path: what changes whenever the file is written."""
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        raise NotImplementedError

    def read_or_none(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None
