"""Scratch files of a merge, and its blocks in threads of this process."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.storage.base import Storage
from stages.stage import Block

SCRATCH = "state/scratch"


class ScratchFolder:
    """A folder of the run that a merge shares with its blocks, wherever these run."""

    def __init__(self, storage: Storage, folder: str = SCRATCH) -> None:
        self.storage = storage
        self.folder = folder
        self._sha256: dict[str, str] = {}

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        staged = self.storage.staged(f"{self.folder}/{name}", f"scratch-{uuid.uuid4().hex[:8]}")
        try:
            yield staged  # type: ignore[misc]  # a RawIOBase is all that writers need of a BinaryIO
            staged.publish()
        except BaseException:
            staged.discard()
            raise
        self._sha256[name] = staged.entry.sha256

    def sha256(self, name: str) -> str:
        return self._sha256[name]

    def path(self, name: str) -> Path:
        return self.storage.local_file(f"{self.folder}/{name}")

    def names(self) -> set[str]:
        """Of the files that are complete."""
        return {path.removeprefix(f"{self.folder}/") for path in self.storage.list(self.folder)}

    def clear(self) -> None:
        self.storage.delete_folder(self.folder)


RunBlocks = Callable[[ScratchFolder, Sequence[Block], int, int], Iterator[None]]
"""Runs blocks, with the threads and the memory of `RunIO.run_blocks`; yields whenever one of them is done."""


def run_here(scratch: ScratchFolder, blocks: Sequence[Block], threads: int, memory: int) -> Iterator[None]:
    with ThreadPoolExecutor(threads) as pool:
        under_way = [pool.submit(block.run, scratch) for block in blocks]
        try:
            for future in as_completed(under_way):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)
