"""What a stage sees of the storage: `PartFiles` for one attempt at one part, `RunFiles` for reduce stages and jobs."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.storage.base import Storage
from pipeline.storage.images import image_bytes
from pipeline.storage.object_store import filesystem, open_with_retries
from pipeline.storage.retry import retry
from pipeline.storage.scratch import RunBlocks, ScratchFolder, run_here
from pipeline.storage.staged import StagedFile
from pipeline.storage.tables import as_declared, read_parquet, write_parquet
from pipeline.storage.uri import is_remote, local_path
from schemas.commit import FileEntry
from schemas.reasons import SET_ASIDE
from schemas.records import part_name
from stages.stage import Block, ImageRef, RowError, Slice, SourceFile

if TYPE_CHECKING:
    import pyarrow as pa

Beat = Callable[[int, int, str], None]  # done, total (0: unknown), message


class SourceFiles:
    """The `Files` protocol of stages: reading sources and images."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def list_source(self, uri: str) -> list[SourceFile]:
        if is_remote(uri):
            return retry(lambda: _list_remote(uri), uri)
        path = Path(local_path(uri))
        if path.is_file():
            return [SourceFile(uri, path.stat().st_size)]
        if not path.is_dir():
            raise FileNotFoundError(uri)
        found = (file for file in path.rglob("*") if file.is_file())
        base = uri.rstrip("/")
        return sorted(
            (SourceFile(f"{base}/{file.relative_to(path).as_posix()}", file.stat().st_size) for file in found),
            key=lambda file: file.uri,
        )

    @contextmanager
    def open_source(self, uri: str) -> Iterator[BinaryIO]:
        with self._opened(uri) as file:
            yield file

    def image_bytes(self, refs: Sequence[ImageRef]) -> Iterator[bytes | RowError]:
        return image_bytes(self.open_source, refs)

    def _opened(self, uri: str) -> BinaryIO:
        if is_remote(uri):
            fs, path = filesystem(uri)
            return open_with_retries(fs, path, uri)
        path = local_path(uri)
        return open(path, "rb") if os.path.isabs(path) else self.storage.open(path)


class PartFiles(SourceFiles):
    """One attempt at one part. Nothing appears under a final name before `publish`.

    `inputs` holds the digest of every dataset that may be read, None for one that is absent; `keep` names those whose
    rows say which keys the stage sees.
    """

    def __init__(
        self,
        storage: Storage,
        part: int,
        piece: Slice | None,
        attempt: str,
        beat: Beat,
        inputs: Mapping[str, str | None],
        keep: Sequence[str] = (),
    ) -> None:
        super().__init__(storage)
        self.part = part
        self.slice = piece
        self._inputs = inputs
        self._keep = keep
        self._attempt = attempt
        self._beat = beat
        self._done = 0
        self._staged: dict[str, StagedFile] = {}
        self.written: dict[str, pa.Table] = {}

    @property
    def datasets(self) -> list[str]:
        return [name for name, digest in self._inputs.items() if digest is not None]

    def has(self, dataset: str) -> bool:
        return self._inputs.get(dataset) is not None

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        self._check_input(dataset)
        path = f"{dataset}/{part_name(self.part)}"
        if not self.set_aside or dataset in self._keep:
            return read_parquet(self.storage, path, columns)
        table = read_parquet(self.storage, path, None if columns is None else [*columns, "key"])
        table = self._without_set_aside(table)
        return table if columns is None else table.select(columns)

    def _check_input(self, dataset: str) -> None:
        if dataset not in self._inputs:
            raise ValueError(f"{dataset}/ is not among the stage's inputs, or its stage is turned off")
        if self._inputs[dataset] is None:
            raise FileNotFoundError(f"{dataset}/ has no part {self.part}")

    @cached_property
    def set_aside(self) -> dict[str, str]:
        """Reason by key, of the rows that a side table does not keep."""
        found: dict[str, str] = {}
        for dataset in self._keep:
            path = f"{dataset}/{part_name(self.part)}"
            for row in read_parquet(self.storage, path, ["key", "keep", "reason"]).to_pylist():
                if not row["keep"]:
                    found.setdefault(row["key"], row["reason"])
        if unknown := set(found.values()) - set(SET_ASIDE):
            raise ValueError(f"no reason to set a row aside: {', '.join(sorted(map(str, unknown)))}")
        return found

    def _without_set_aside(self, table: pa.Table) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        return table.filter(pc.invert(pc.is_in(table["key"], pa.array(list(self.set_aside), pa.string()))))

    def count_set_aside(self, needed: Sequence[str]) -> Counter[str]:
        """By reason, of the keys that all these datasets have: the rows that would have come in."""
        if not self.set_aside or not needed:
            return Counter()
        tables = (read_parquet(self.storage, f"{dataset}/{part_name(self.part)}", ["key"]) for dataset in needed)
        came = set.intersection(*(set(table["key"].to_pylist()) for table in tables))
        return Counter(reason for key, reason in self.set_aside.items() if key in came)

    def files(self, dataset: str) -> list[str]:
        self._check_input(dataset)
        return list(self.storage.list(dataset))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        self._check_input(next((name for name in self._inputs if path.startswith(f"{name}/")), path))
        with self.storage.open(path) as file:
            yield file

    def write(self, dataset: str, table: pa.Table) -> None:
        table = as_declared(dataset, table)
        with self.create(f"{dataset}/{part_name(self.part)}") as file:
            write_parquet(table, file)
        self.written[dataset] = table

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        staged = new_staged_file(self.storage, path, self._attempt, self._staged)
        yield staged  # type: ignore[misc]  # a RawIOBase is all that writers need of a BinaryIO
        staged.close()

    def progress(self, pairs: int) -> None:
        self._done += pairs
        self._beat(self._done, 0, "")

    def entries(self) -> tuple[FileEntry, ...]:
        return tuple(self._staged[path].entry for path in sorted(self._staged))

    def publish(self) -> None:
        for path in sorted(self._staged):
            self._staged[path].publish()

    def discard(self) -> None:
        for staged in self._staged.values():
            staged.discard()


class RunFiles(SourceFiles):
    """All parts of a run. A file appears, complete, as soon as its `create` ends.

    `turned_off` names folders that count as absent; `wrote` is told of each part file that is written; `run_blocks` is
    the way in which blocks run.
    """

    def __init__(
        self,
        storage: Storage,
        parts: Sequence[int],
        attempt: str,
        beat: Beat,
        turned_off: Sequence[str] = (),
        wrote: Callable[[str, int, pa.Table], None] = lambda dataset, part, table: None,
        run_blocks: RunBlocks = run_here,
    ) -> None:
        super().__init__(storage)
        self._scratch = ScratchFolder(storage)
        self._run_blocks = run_blocks
        self._parts = list(parts)
        self._turned_off = turned_off
        self._wrote = wrote
        self._attempt = attempt
        self._beat = beat
        self.created: dict[str, FileEntry] = {}

    def parts(self) -> list[int]:
        return list(self._parts)

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        if dataset in self._turned_off:
            raise FileNotFoundError(f"{dataset}/ is of a stage that is turned off")
        return read_parquet(self.storage, f"{dataset}/{part_name(part)}", columns)

    def has_part(self, dataset: str, part: int) -> bool:
        return dataset not in self._turned_off and self.storage.exists(f"{dataset}/{part_name(part)}")

    def write_part(self, dataset: str, part: int, table: pa.Table) -> None:
        table = as_declared(dataset, table)
        with self.create(f"{dataset}/{part_name(part)}") as file:
            write_parquet(table, file)
        self._wrote(dataset, part, table)

    def files(self, folder: str) -> list[str]:
        return [] if folder in self._turned_off else list(self.storage.list(folder))

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        if path.startswith(tuple(f"{folder}/" for folder in self._turned_off)):
            raise FileNotFoundError(f"{path} is of a stage that is turned off")
        with self.storage.open(path) as file:
            yield file

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        staged = new_staged_file(self.storage, path, self._attempt, {})
        try:
            yield staged  # type: ignore[misc]
            staged.publish()
        except BaseException:
            staged.discard()
            raise
        self.created[path] = staged.entry

    def delete(self, path: str) -> None:
        self.storage.delete(path)
        self.created.pop(path, None)

    def register_existing(self, folders: Sequence[str]) -> None:
        """Takes on the files that earlier, interrupted attempts of a job left in its folders."""
        found = {path: size for folder in folders for path, size in self.storage.list(folder).items()}
        self.created = {path: entry for path, entry in self.created.items() if path in found}
        for path, size in found.items():
            if path not in self.created:
                self.created[path] = FileEntry(path, size, sha256_of(self.storage, path))

    def progress(self, done: int, total: int, message: str = "") -> None:
        self._beat(done, total, message)

    @property
    def scratch(self) -> ScratchFolder:
        return self._scratch

    def run_blocks(self, blocks: Sequence[Block], message: str, threads: int = 1, memory: int = 0) -> None:
        there = self.scratch.names()
        left = [block for block in blocks if block.name not in there]
        done = len(blocks) - len(left)
        for more, _ in enumerate(self._run_blocks(self.scratch, left, threads, memory), 1):
            self.progress(done + more, len(blocks), message)


def _list_remote(uri: str) -> list[SourceFile]:
    fs, path = filesystem(uri)
    infos = fs.find(path, detail=True)
    if not infos:
        raise FileNotFoundError(uri)
    base = uri.rstrip("/")
    return [SourceFile(base + name[len(path.rstrip("/")) :], info["size"]) for name, info in sorted(infos.items())]


def new_staged_file(storage: Storage, path: str, attempt: str, staged_files: dict[str, StagedFile]) -> StagedFile:
    """Raises ValueError for a path that leaves the run folder or was created before: both are errors of the stage."""
    if path in staged_files or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"cannot create {path!r}: outside of the run folder, or created twice")
    staged_files[path] = storage.staged(path, attempt)
    return staged_files[path]


def sha256_of(storage: Storage, path: str) -> str:
    with storage.open(path) as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
