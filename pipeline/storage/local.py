"""A run folder on a disk of this machine, or on one that all machines share."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.storage.base import Storage
from pipeline.storage.retry import translate_os_errors
from pipeline.storage.staged import StagedFile


class LocalStorage(Storage):
    local = True

    def __init__(self, root: str, staged_files: str = "state/drafts") -> None:
        super().__init__(os.path.abspath(os.path.expanduser(root)))
        self._root = Path(self.root)
        self._staged = self._root / staged_files

    def open(self, path: str) -> BinaryIO:
        return open(self._root / path, "rb")

    def read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()

    def local_file(self, path: str) -> Path:
        return self._root / path

    def write(self, path: str, data: bytes, durable: bool = True) -> None:
        final = self._root / path
        temporary = self._staged / f"{os.getpid()}-{random.getrandbits(64):016x}"
        with translate_os_errors(path):
            final.parent.mkdir(parents=True, exist_ok=True)
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(temporary, "wb") as file:
                    file.write(data)
                    if durable:
                        file.flush()
                        os.fsync(file.fileno())
                os.replace(temporary, final)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        if durable:
            sync_folder(final.parent)

    def create(self, path: str, data: bytes) -> None:
        if self.exists(path):  # a caller that is not alone holds a guard
            raise FileExistsError(path)
        self.write(path, data, durable=False)

    def append(self, path: str, data: bytes) -> None:
        final = self._root / path
        with translate_os_errors(path):
            final.parent.mkdir(parents=True, exist_ok=True)
            is_new = not final.exists()
            with open(final, "ab", buffering=0) as file:
                file.write(data)
                os.fsync(file.fileno())
        if is_new:
            sync_folder(final.parent)

    def staged(self, path: str, attempt: str) -> StagedFile:
        name = f"{attempt}--{path.replace('/', '--')}"
        with translate_os_errors(path):
            return StagedFile(path, self._staged / name, self._rename)

    def _rename(self, staged: StagedFile) -> None:
        final = self._root / staged.path
        with translate_os_errors(staged.path):
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged.local, final)
        sync_folder(final.parent)

    def list(self, folder: str) -> dict[str, int]:
        return {path: stat.st_size for path, stat in sorted(_walk(self._root / folder, folder))}

    def stamps(self, folder: str) -> dict[str, str]:
        return {path: f"{stat.st_mtime_ns}-{stat.st_size}" for path, stat in _walk(self._root / folder, folder)}

    def exists(self, path: str) -> bool:
        return (self._root / path).is_file()

    def move(self, path: str, to: str) -> None:
        with translate_os_errors(path):
            (self._root / to).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._root / path, self._root / to)
        sync_folder((self._root / to).parent)

    def delete(self, path: str) -> None:
        (self._root / path).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        shutil.rmtree(self._root / folder, ignore_errors=True)


def _walk(folder: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            path = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path), path)
            elif not entry.name.startswith("."):
                try:
                    stat = entry.stat()
                except FileNotFoundError:
                    continue  # gone since the listing, as the heartbeat of an attempt that has ended
                yield path, stat


def sync_folder(folder: Path) -> None:
    """Makes a rename durable: the folder's own entry is on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
