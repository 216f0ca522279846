"""Plain tar files whose bytes depend on the members alone: names, contents and order."""

from __future__ import annotations

import hashlib
import tarfile
from typing import BinaryIO


class TarWriter:
    """Writes ustar members one after another to a file that need not be seekable, and hashes what it writes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def add(self, name: str, data: bytes) -> int:
        """Append a member; returns the offset of its bytes in the file."""
        info = tarfile.TarInfo(name)  # mtime, uid and gid 0, no user names, mode 0644
        info.size = len(data)
        self.write(info.tobuf(tarfile.USTAR_FORMAT))
        offset = self.size
        self.write(data)
        self.write(bytes(-len(data) % tarfile.BLOCKSIZE))
        return offset

    def finish(self) -> str:
        """Write the end marker; returns the sha256 of the whole file."""
        self.write(bytes(2 * tarfile.BLOCKSIZE))
        return self._hash.hexdigest()
