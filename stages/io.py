"""What a stage may touch: the source, the parts and files of a run, and the errors that it may raise.

The runner (pipeline/) implements these protocols: it makes the writes atomic, hashes the files and writes the commit
record. A stage never learns on which machine it runs or how many others run beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol

from schemas.rows import ImageRef

if TYPE_CHECKING:
    import pyarrow as pa


class UserError(Exception):
    """What the user can mend: one clear line that names the thing and the remedy. The command ends with exit code 2."""


class RowError(Exception):
    """A row that cannot be processed, for a reason in the data: `reason` is a code of schemas.reasons.REJECTED."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Slice:
    """A part's share of the source, fixed in plan.json.

    `uri` is the source file (empty for scenes); rows [start, stop) of it, or bytes where the source counts in bytes
    (unit). `size` is the file's size at planning, so that a changed file is noticed; `extra` is the source's own,
    JSON-able.
    """

    uri: str
    start: int
    stop: int
    unit: Literal["rows", "bytes"] = "rows"
    size: int = -1
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceFile:
    """A file of the source: its path or URI, and its size in bytes."""

    uri: str
    size: int


class Files(Protocol):
    """The part of storage that every stage sees. Paths are relative to the run folder, with `/`."""

    def list_source(self, uri: str) -> list[SourceFile]:
        """What lies at a local path or URI, sorted by uri: the file itself, or all files below the folder.

        The uris begin with the one given. Raises FileNotFoundError where there is nothing.
        """
        ...

    def open_source(self, uri: str) -> AbstractContextManager[BinaryIO]:
        """A seekable binary reader of a file of the source (local path or URI; relative: to the run folder)."""
        ...

    def image_bytes(self, refs: Sequence[ImageRef]) -> Iterator[bytes | RowError]:
        """The stored bytes of each image, in the order given; ranges of one file are read coalesced, equal refs once.

        A file that is not there or a range that it does not have yields a RowError; a store that fails raises OSError.
        """
        ...


class PartIO(Files, Protocol):
    """One attempt at one part of a map stage."""

    part: int
    slice: Slice | None  # of a planner's parts only

    @property
    def datasets(self) -> Sequence[str]:
        """Those of the stage's inputs that are there for this part."""
        ...

    def has(self, dataset: str) -> bool:
        """Whether an input is there: a side table whose stage is turned off is not, whatever lies in its folder."""
        ...

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        """RUN/<dataset>/part-N.parquet, without the rows that an input with `keep` sets aside.

        Raises FileNotFoundError where it is absent, ValueError for a dataset that is no input of the stage.
        """
        ...

    def files(self, dataset: str) -> list[str]:
        """Paths of all files of an input with the scope `run`, sorted."""
        ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A seekable reader of one of these files."""
        ...

    def write(self, dataset: str, table: pa.Table) -> None:
        """RUN/<dataset>/part-N.parquet, in order, with deterministic bytes.

        Where the dataset has a schema (schemas/records.py), the table must have its columns, with types that fit into
        the schema's without loss; ValueError names the column that does not. Rows for rejects go to `rejects/<stage>`;
        an empty rejects table is written too, so that every part has one.
        """
        ...

    def create(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A new file of this part, e.g. `shards/0000000-000.tar`; it appears under its name when the part is done."""
        ...

    def progress(self, pairs: int) -> None:
        """So many more pairs are done; also the heartbeat of the attempt."""
        ...


class Scratch(Protocol):
    """Files that a merge shares with its blocks. They outlive a merge that is cut off, and go when it is complete."""

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file that appears, complete, under its name when the context ends without an error."""
        ...

    def sha256(self, name: str) -> str:
        """Of a file that this process has created."""
        ...

    def path(self, name: str) -> Path:
        """Of the file on this machine, to be mapped into memory; of one in an object store, a copy."""
        ...


class Block(Protocol):
    """A piece of a merge's work that needs none of the others.

    It travels to a worker: names and numbers, never data. What it makes is a scratch file. The name of the file says
    what it is made from, since an interrupted merge takes what is there of that name for it.
    """

    @property
    def name(self) -> str: ...

    def run(self, scratch: Scratch) -> None: ...


class RunIO(Files, Protocol):
    """All parts of a run, for reduce stages and jobs."""

    def parts(self) -> list[int]:
        """The numbers of the plan, ascending."""
        ...

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table: ...

    def has_part(self, dataset: str, part: int) -> bool: ...

    def write_part(self, dataset: str, part: int, table: pa.Table) -> None:
        """A part file of one of the stage's outputs, as `PartIO.write` writes it."""
        ...

    def files(self, folder: str) -> list[str]:
        """Paths of the finished files below a folder of the run, sorted."""
        ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A seekable reader of a file of the run."""
        ...

    def create(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Write a file of the run: it appears, complete, under its name when the context ends without an error."""
        ...

    def delete(self, path: str) -> None: ...

    def progress(self, done: int, total: int, message: str = "") -> None: ...

    @property
    def scratch(self) -> Scratch:
        """For merges."""
        ...

    def run_blocks(self, blocks: Sequence[Block], message: str, threads: int = 1, memory: int = 0) -> None:
        """Makes the scratch files of those blocks that are not there yet; returns when all are.

        On Ray, every worker runs one block at a time; elsewhere, `threads` of them run side by side in this process.
        `memory`: bytes that one block takes, which Ray reserves for it. `message` is for displays.
        """
        ...
