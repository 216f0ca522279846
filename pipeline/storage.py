"""The run folder on a disk or in an object store: complete files under final names, or none.

A file is first a `Draft`: bytes that nobody sees, hashed while they are written. Publishing is one atomic step, on a
disk a rename after fsync, in an object store one PUT (or a completed multipart upload).
"""

from __future__ import annotations

import io
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.drafts import Draft, drafts_of_this_process
from pipeline.store_errors import NOT_IMPLEMENTED, http_status, naming, persistently, write_in_time
from stages.stage import UserError


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

    def write(self, path: str, data: bytes, durable: bool = True) -> None:
        """The whole file at once, atomically; not `durable`: a power cut may lose it (heartbeats)."""
        raise NotImplementedError

    def create(self, path: str, data: bytes) -> None:
        """Writes a small file where there is none. Raises FileExistsError where there is one, if the store can tell."""
        raise NotImplementedError

    def draft(self, path: str, attempt: str) -> Draft:
        raise NotImplementedError

    def list(self, folder: str) -> dict[str, int]:
        """Size of every file at or below a folder, by path, sorted; empty where the folder is absent."""
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


class LocalStorage(Storage):
    local = True

    def __init__(self, root: str, drafts: str = "state/drafts") -> None:
        super().__init__(os.path.abspath(os.path.expanduser(root)))
        self._root = Path(self.root)
        self._drafts = self._root / drafts

    def open(self, path: str) -> BinaryIO:
        return open(self._root / path, "rb")

    def read(self, path: str) -> bytes:
        return (self._root / path).read_bytes()

    def write(self, path: str, data: bytes, durable: bool = True) -> None:
        final = self._root / path
        temporary = self._drafts / f"{os.getpid()}-{random.getrandbits(64):016x}"
        with naming(path):
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

    def draft(self, path: str, attempt: str) -> Draft:
        name = f"{attempt}--{path.replace('/', '--')}"
        with naming(path):
            return Draft(path, self._drafts / name, self._rename)

    def _rename(self, draft: Draft) -> None:
        final = self._root / draft.path
        with naming(draft.path):
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(draft.local, final)
        sync_folder(final.parent)

    def list(self, folder: str) -> dict[str, int]:
        return {path: stat.st_size for path, stat in sorted(_walk(self._root / folder, folder))}

    def stamps(self, folder: str) -> dict[str, str]:
        return {path: f"{stat.st_mtime_ns}-{stat.st_size}" for path, stat in _walk(self._root / folder, folder)}

    def exists(self, path: str) -> bool:
        return (self._root / path).is_file()

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
        return open_steadily(self._fs, self._at(path), path)

    def read(self, path: str) -> bytes:
        def read() -> bytes:
            data: bytes = self._fs.cat_file(self._at(path))
            return data

        return persistently(read, path)

    def write(self, path: str, data: bytes, durable: bool = True) -> None:
        persistently(lambda: write_in_time(self._fs, "pipe_file", self._at(path), data, size=len(data)), path)

    def create(self, path: str, data: bytes) -> None:
        def create() -> None:
            write_in_time(self._fs, "pipe_file", self._at(path), data, size=len(data), mode="create")

        try:
            persistently(create, path)
        except Exception as error:
            if http_status(error) != NOT_IMPLEMENTED:  # of a store that knows no conditional writes
                raise
            self.write(path, data)

    def draft(self, path: str, attempt: str) -> Draft:
        with naming(path):
            return Draft(path, drafts_of_this_process() / f"{attempt}--{path.replace('/', '--')}", self._put)

    def _put(self, draft: Draft) -> None:
        try:
            names, size = (str(draft.local), self._at(draft.path)), draft.entry.size
            persistently(lambda: write_in_time(self._fs, "put_file", *names, size=size), draft.path)
        finally:
            draft.local.unlink(missing_ok=True)

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

        return persistently(found, folder)

    def exists(self, path: str) -> bool:
        def found() -> bool:
            self._fs.invalidate_cache()
            return bool(self._fs.exists(self._at(path)))

        return persistently(found, path)

    def delete(self, path: str) -> None:
        def remove() -> None:
            with suppress(FileNotFoundError):
                self._fs.rm_file(self._at(path))

        persistently(remove, path)


class SteadyReader(io.RawIOBase):
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

        return persistently(read, self._path)

    def close(self) -> None:
        self._file.close()
        super().close()


def open_steadily(fs: Any, path: str, name: str) -> BinaryIO:
    """Raises FileNotFoundError, StoreError. `name` is for messages."""
    file = persistently(lambda: fs.open(path, "rb", block_size=4 << 20), name)
    return SteadyReader(file, name)  # type: ignore[return-value]  # all that readers need of a BinaryIO


def open_storage(root: str) -> Storage:
    """Of a run folder. Raises UserError for a URI without a driver."""
    return ObjectStorage(root) if is_remote(root) else LocalStorage(local_path(root))


def open_folder(root: str) -> Storage:
    """Of any other folder that files are written to."""
    return ObjectStorage(root) if is_remote(root) else LocalStorage(local_path(root), drafts="")


def is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> str:
    return uri.removeprefix("file://")


def filesystem(uri: str) -> tuple[Any, str]:
    """fsspec's file system for a URI, and the path in it. Raises UserError where its driver is not installed."""
    import fsspec

    try:
        fs, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UserError(f"{uri}: cannot open this kind of URI ({error})") from None
    return fs, path


def sync_folder(folder: Path) -> None:
    """Makes a rename durable: the folder's own entry is on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
