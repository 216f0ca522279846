"""Files under way: bytes that nobody sees, hashed while they are written, until they get their final name."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.storage.processes import started_at
from pipeline.storage.retry import translate_os_errors
from schemas.commit import FileEntry


class StagedFile(io.RawIOBase):
    """A file under way: write-only, sequential, hashed as it grows. `publish` gives it its final name."""

    def __init__(self, path: str, local: Path, publish: Callable[[StagedFile], None]) -> None:
        super().__init__()
        self.path = path
        self.local = local
        self._publish = publish
        local.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(local, "wb", buffering=1 << 20)  # noqa: SIM115 - closed by close()
        self._hash = hashlib.sha256()
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        with translate_os_errors(self.path):
            self._file.write(view)
        self._hash.update(view)
        self._size += len(view)
        return len(view)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        if not self._file.closed:
            with translate_os_errors(self.path):
                self._file.flush()

    def close(self) -> None:
        if not self._file.closed:
            with translate_os_errors(self.path):
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
        super().close()

    @property
    def entry(self) -> FileEntry:
        return FileEntry(self.path, self._size, self._hash.hexdigest())

    def publish(self) -> None:
        self.close()
        self._publish(self)

    def discard(self) -> None:
        with suppress(OSError):  # a full disk has no room for what is still in the buffer
            self._file.close()
        self.local.unlink(missing_ok=True)


def staging_folder() -> Path:
    """Where files for an object store are staged: on this machine's disk, in a folder of this process."""
    return _folder_of(os.getpid())


@cache
def _folder_of(pid: int) -> Path:
    """This process's folder. Those of killed processes are deleted, so that crashes do not fill up a disk."""
    base = Path(tempfile.gettempdir()) / f"phrasebox-drafts-{os.getuid()}"
    space = os.stat("/proc/self/ns/pid").st_ino  # another container's processes are not known here
    for folder in base.glob(f"{space}-*-*"):
        _, other, started = folder.name.split("-", 2)
        if started_at(int(other)) != started:
            shutil.rmtree(folder, ignore_errors=True)
    mine = base / f"{space}-{pid}-{started_at(pid)}"
    mine.mkdir(mode=0o700, parents=True, exist_ok=True)
    return mine
