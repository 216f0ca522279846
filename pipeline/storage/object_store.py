"""A run folder in an object store: whatever fsspec opens, with every call retried while the store is down or busy."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.storage.base import Storage
from pipeline.storage.retry import NOT_IMPLEMENTED, http_status, retry, translate_os_errors, write_in_time
from pipeline.storage.staged import StagedFile, staging_folder
from stages.stage import UserError

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}  # by kind of URI: what brings its driver


class ObjectStorage(Storage):
    """Whatever fsspec opens. Every call is repeated while the store's failure may pass."""

    local = False

    def __init__(self, root: str) -> None:
        super().__init__(root.rstrip("/"))
        self._fs, base = filesystem(self.root)
        self._base = base.rstrip("/")

    def _at(self, path: str) -> str:
        return f"{self._base}/{path}"

    def open(self, path: str) -> BinaryIO:
        return open_with_retries(self._fs, self._at(path), path)

    def read(self, path: str) -> bytes:
        def read() -> bytes:
            data: bytes = self._fs.cat_file(self._at(path))
            return data

        return retry(read, path)

    def local_file(self, path: str) -> Path:
        """A file that is written again is copied again."""
        version = hashlib.sha256(f"{self._at(path)}\n{self.stamps(path)[path]}".encode()).hexdigest()
        copy = staging_folder() / f"copy-{version}"
        if not copy.exists():
            half = copy.with_name(f"{copy.name}-{random.getrandbits(64):016x}")
            with translate_os_errors(path), self.open(path) as source, open(half, "wb") as file:
                shutil.copyfileobj(source, file, 4 << 20)
            half.replace(copy)
        return copy

    def write(self, path: str, data: bytes, durable: bool = True) -> None:
        retry(lambda: write_in_time(self._fs, "pipe_file", self._at(path), data, size=len(data)), path)

    def create(self, path: str, data: bytes) -> None:
        def create() -> None:
            write_in_time(self._fs, "pipe_file", self._at(path), data, size=len(data), mode="create")

        try:
            retry(create, path)
        except Exception as error:
            if http_status(error) != NOT_IMPLEMENTED:  # of a store that knows no conditional writes
                raise
            self.write(path, data)

    def staged(self, path: str, attempt: str) -> StagedFile:
        with translate_os_errors(path):
            return StagedFile(path, staging_folder() / f"{attempt}--{path.replace('/', '--')}", self._put)

    def _put(self, staged: StagedFile) -> None:
        try:
            names, size = (str(staged.local), self._at(staged.path)), staged.entry.size
            retry(lambda: write_in_time(self._fs, "put_file", *names, size=size), staged.path)
        finally:
            staged.local.unlink(missing_ok=True)

    def list(self, folder: str) -> dict[str, int]:
        return {path: info["size"] for path, info in sorted(self._find(folder).items())}

    def stamps(self, folder: str) -> dict[str, str]:
        return {
            path: str(info.get("ETag") or info.get("etag") or f"{info.get('LastModified')}-{info['size']}")
            for path, info in self._find(folder).items()
        }

    def _find(self, folder: str) -> dict[str, Any]:
        """What the store tells of each file below a folder, by path."""

        def found() -> dict[str, Any]:
            self._fs.invalidate_cache()
            try:
                infos = self._fs.find(self._at(folder), detail=True)
            except FileNotFoundError:
                return {}
            start = len(self._base) + 1
            return {path[start:]: info for path, info in infos.items()}

        return retry(found, folder)

    def exists(self, path: str) -> bool:
        def found() -> bool:
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._at(path)))

        return retry(found, path)

    def move(self, path: str, to: str) -> None:
        retry(lambda: self._fs.cp_file(self._at(path), self._at(to)), path)
        self.delete(path)

    def delete(self, path: str) -> None:
        def remove() -> None:
            with suppress(FileNotFoundError):
                self._fs.rm_file(self._at(path))

        retry(remove, path)


class RetryingReader(io.RawIOBase):
    """A seekable reader of a store's file, whose reads are repeated like every other call."""

    def __init__(self, file: Any, path: str) -> None:
        super().__init__()
        self._file = file
        self._path = path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        place: int = self._file.seek(offset, whence)
        return place

    def tell(self) -> int:
        place: int = self._file.tell()
        return place

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        def read() -> bytes:
            data: bytes = self._file.read(size)  # a read that fails does not move the place
            return data

        return retry(read, self._path)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_with_retries(fs: Any, path: str, name: str) -> BinaryIO:
    """Raises FileNotFoundError, StoreError. `name` is for messages."""
    file = retry(lambda: fs.open(path, "rb", block_size=4 << 20), name)
    return RetryingReader(file, name)  # type: ignore[return-value]  # all that readers need of a BinaryIO


def filesystem(uri: str) -> tuple[Any, str]:
    """fsspec's file system for a URI, and the path in it. Raises UserError where its driver is not installed."""
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        extra = EXTRAS.get(uri.partition("://")[0])
        how = f"pip install 'phrasebox[{extra}]'" if extra else error
        raise UserError(f"{uri}: cannot open this kind of URI ({how})") from None
    return fs, path
