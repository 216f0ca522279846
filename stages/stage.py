"""What a stage is, and what it may touch.

A stage never knows which machine it runs on or how many others run beside it. A map stage gets one part at a time and
reads and writes it through `PartIO`; a reduce stage also merges the summaries of all parts; a job makes one result out
of all parts, through `RunIO`. The runner (pipeline/) makes the writes atomic, hashes the files and writes the commit
record from the counts that the stage returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal, Protocol

from schemas.commit import Counts
from schemas.rows import ImageRef, Reject

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Counts",
    "ImageRef",
    "Input",
    "JobStage",
    "MapStage",
    "PartIO",
    "PartResult",
    "ReduceStage",
    "RowError",
    "RunIO",
    "Slice",
    "SourceFile",
    "Stage",
    "UserError",
]


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
class PartResult:
    counts: Counts
    notes: dict[str, Any] = field(default_factory=dict)  # kept in the commit record, e.g. the batch plan


@dataclass(frozen=True)
class Input:
    """A dataset folder that a stage reads, and the columns of it that its result depends on (empty: all).

    With columns, the fingerprint covers a hash of those columns instead of the file's sha256, so that a change in
    `norm` or `head` never costs a relabel.
    """

    dataset: str
    columns: tuple[str, ...] = ()
    optional: bool = False  # e.g. gold, which not every source has


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
    slice: Slice | None  # ingest only

    def read(self, dataset: str, columns: Sequence[str] | None = None) -> pa.Table:
        """RUN/<dataset>/part-N.parquet. Raises FileNotFoundError where it is absent."""
        ...

    def has(self, dataset: str) -> bool: ...

    def write(self, dataset: str, table: pa.Table) -> None:
        """RUN/<dataset>/part-N.parquet, cast to the dataset's schema, in order, with deterministic bytes.

        Rows for rejects go to `rejects/<stage>`; an empty rejects table is written too, so that every part has one.
        """
        ...

    def create(self, path: str) -> AbstractContextManager[BinaryIO]:
        """A new file of this part, e.g. `shards/0000000-000.tar`; it appears under its name when the part is done."""
        ...

    def progress(self, pairs: int) -> None:
        """So many more pairs are done; also the heartbeat of the attempt."""
        ...


class RunIO(Files, Protocol):
    """All parts of a run, for reduce stages and jobs."""

    def parts(self) -> list[int]:
        """The numbers of the plan, ascending."""
        ...

    def read_part(self, dataset: str, part: int, columns: Sequence[str] | None = None) -> pa.Table: ...

    def has_part(self, dataset: str, part: int) -> bool: ...

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


class Stage(Protocol):
    """Common to all kinds. `version` is raised when the meaning of the result changes."""

    name: ClassVar[str]
    version: ClassVar[int]
    kind: ClassVar[Literal["map", "reduce", "job"]]
    inputs: ClassVar[tuple[Input, ...]]
    outputs: ClassVar[tuple[str, ...]]  # dataset folders (map), or folders of the result

    def __init__(self, config: Any) -> None:
        """`config` is the whole resolved config. Cheap: nothing heavy is loaded before the first part."""
        ...

    @classmethod
    def resolve(cls, config: Any) -> dict[str, Any]:
        """What "auto" and defaults come to here: {field of the stage's section: value}. May raise UserError."""
        ...

    @classmethod
    def settings(cls, config: Any) -> dict[str, Any]:
        """What enters the fingerprint beside the inputs: settings that change the result, sha256 of weights; JSON-able.

        Never what only changes speed or place (threads excepted), never the run folder or the workers.
        """
        ...


class MapStage(Stage, Protocol):
    def run_part(self, io: PartIO) -> PartResult:
        """Process one part. Rows that fail go to rejects; an exception fails the part, not the run."""
        ...


class ReduceStage(MapStage, Protocol):
    """A map stage whose per-part summaries are merged into one result once all parts are committed."""

    def merge(self, io: RunIO) -> dict[str, Any]: ...


class JobStage(Stage, Protocol):
    """A job that several processes make together also has `ranks(config)`, how many, and `run_rank(io, rank, world)`,
    which each of them calls; the first one's result is the job's."""

    def run_job(self, io: RunIO) -> dict[str, Any]:
        """Make the one result; returns what belongs in the commit record's notes and the summary line."""
        ...


def reject_rows(stage: str, rows: Iterable[tuple[str, str, RowError]]) -> pa.Table:
    """The rejects table of (key, source_id, error) rows."""
    from schemas.tables import RejectTable

    rejects = [Reject(key, source_id, stage, error.reason, error.detail[:500]) for key, source_id, error in rows]
    return RejectTable.of_records(rejects).table
