"""What a stage is: the base class of each kind, and how a stage says what it reads, writes, needs and depends on.

A map stage gets one part at a time and reads and writes it through `PartIO`; a reduce stage also merges what its parts
have written; a job makes one result out of all parts, through `RunIO`; a planner decides which parts there are. The
runner, the workers and `verify` know a stage by these declarations alone, and never by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from schemas.commit import CommitRecord, Counts
from schemas.rows import ImageRef, Reject
from schemas.settings import settings_of
from stages.io import Block, Files, PartIO, RowError, RunIO, Scratch, Slice, SourceFile, UserError

if TYPE_CHECKING:
    import pyarrow as pa
    from _typeshed import DataclassInstance

    from schemas.config import Config
    from schemas.tables import PartReader

    Options = TypeVar("Options", bound=DataclassInstance)

__all__ = [
    "Block",
    "Counts",
    "Files",
    "ImageRef",
    "Input",
    "JobStage",
    "MapStage",
    "Needs",
    "Output",
    "PartIO",
    "PartResult",
    "PlannerStage",
    "RankedJobStage",
    "ReduceStage",
    "RowError",
    "RunIO",
    "Scratch",
    "Slice",
    "SourceFile",
    "Stage",
    "UserError",
    "reject_rows",
]


@dataclass(frozen=True)
class Input:
    """A dataset folder that a stage reads, and the columns of it that its result depends on (empty: all).

    With columns, the fingerprint covers a hash of those columns instead of the file's sha256, so that a change in
    `norm` or `head` never costs a relabel.
    """

    dataset: str
    columns: tuple[str, ...] = ()
    need: Literal["always", "if_enabled", "if_present"] = "always"
    """`if_enabled`: a side table, which is waited for where its stage is enabled and absent where it is not;
    `if_present`: whatever is there counts, e.g. gold, which not every source has."""
    scope: Literal["part", "run"] = "part"
    """`run`: every part waits for the dataset of the whole run, e.g. the centroids that a reduce stage has merged."""
    keep: bool = False
    """The dataset has the columns `keep` and `reason`: the stage does not see the rows that are not kept, and the
    runner counts them as set aside, by reason."""

    @property
    def optional(self) -> bool:
        return self.need != "always"


@dataclass(frozen=True)
class Output:
    """A folder of the run that a stage writes. An outer folder of another stage's is fine: the deepest one counts."""

    folder: str
    scope: Literal["part", "run"] = "part"
    """`part`: a file for each part; `run`: files of the whole run, e.g. a student."""
    aligned_with: str | None = None
    """Makes the folder a side table: a row for each row of this dataset, with the same key, in the same order."""
    lists: tuple[str, str] | None = None
    """Of a side table, a list column, and the list column of the other dataset that has as many items in each row."""


@dataclass(frozen=True)
class Needs:
    """What one worker of a stage needs of its machine."""

    gpu: bool = False
    memory: int = 0  # bytes that Ray reserves for it; 0: none
    actor: bool = False  # the stage, with the model that it has loaded, stays from part to part; else each has its own
    ranks: int = 1  # processes that make the result of a job together, each with a GPU or core of its own
    blocks: bool = False  # a merge, whose blocks run on the cores of the other workers: it takes none itself


@dataclass(frozen=True)
class PartResult:
    counts: Counts
    notes: dict[str, Any] = field(default_factory=dict)  # kept in the commit record, e.g. the batch plan


class Stage(ABC):
    """Common to all kinds. `config` is always the whole resolved config."""

    name: ClassVar[str]  # of the command, and of the section
    version: ClassVar[int] = 1  # raised when the meaning of the result changes: everything is recomputed then
    inputs: ClassVar[tuple[Input, ...]] = ()
    outputs: ClassVar[tuple[Output, ...]]
    section: ClassVar[type[DataclassInstance] | None] = None
    """The stage's own section of the config, where schemas/config.py has none: a dataclass with a default each."""
    depends_on: ClassVar[tuple[str, ...] | None] = None
    """Sections (`filter`) and fields (`label.score_floor`) of the config; None: the section of the stage's name."""

    def __init__(self, config: Config) -> None:  # noqa: B027 - a stage without options has nothing to add
        """Cheap: nothing heavy is loaded before the first part."""

    @classmethod
    def enabled(cls, config: Config) -> bool:
        """Whether `phrasebox run` includes the stage, and others read what it writes. As a command it always runs."""
        return True

    @classmethod
    def siblings(cls, config: Config) -> tuple[type[Stage], ...]:
        """Further stages that the config makes of this one, e.g. one for each further teacher; they run right after it.

        `sibling` gives each by what stands behind the @ of its qualified name, so that workers find it.
        """
        return ()

    @classmethod
    def sibling(cls, member: str) -> type[Stage]:
        """One of them. Always the same class for the same member."""
        raise NotImplementedError(f"{cls.__qualname__} has no siblings")

    @classmethod
    def reads(cls, config: Config, item: Input) -> bool:
        """Whether the config makes use of an optional input. What is not read counts as absent."""
        return True

    @classmethod
    def resolve(cls, config: Config) -> dict[str, Any]:
        """What "auto" and defaults come to here: {field of the stage's section: value}. May raise UserError."""
        return {}

    @classmethod
    def needs(cls, config: Config) -> Needs:
        return Needs()

    @classmethod
    def settings(cls, config: Config) -> dict[str, Any]:
        """What enters the fingerprint beside the inputs: all that `depends_on` names and that changes the result."""
        names = cls.depends_on
        if names is None:
            names = tuple(name for name in type(config).model_fields if name == cls.name)
        return {**settings_of(config, names), **cls.digests(config)}

    @classmethod
    def digests(cls, config: Config) -> dict[str, Any]:
        """What enters the fingerprint beside the config's own values, e.g. the sha256 of a file that it names."""
        return {}

    @classmethod
    def all_inputs(cls, earlier: Sequence[type[Stage]]) -> tuple[Input, ...]:
        """`inputs`, and those that follow from the stages before this one, e.g. the rejects of each."""
        return cls.inputs

    @classmethod
    def written_by_people(cls, config: Config) -> tuple[str, ...]:
        """Folders of the run that no stage writes, and that the stage's result for the whole run depends on."""
        return ()

    @classmethod
    def all_outputs(cls) -> tuple[Output, ...]:
        """Every folder that the stage writes."""
        return cls.outputs

    @classmethod
    def options(cls, config: Config, kind: type[Options]) -> Options:
        """The section that the stage brought with it, as an object of that class."""
        values = getattr(config, cls.name)
        return kind(**{entry.name: getattr(values, entry.name) for entry in fields(kind)})


class MapStage(Stage):
    """Part n in, part n out. Rows of the first output are what came out."""

    carries_rows: ClassVar[bool] = True
    """Whether every key that comes in comes out, is rejected or set aside; not where the outputs are summaries."""

    @abstractmethod
    def run_part(self, io: PartIO) -> PartResult:
        """Process one part. Rows that fail go to rejects; an exception fails the part, not the run."""

    @classmethod
    def contradictions(cls, tables: PartReader, record: CommitRecord) -> Iterator[str]:
        """For `verify`: what of a part's tables is not as the stage writes them, beyond their counts and keys."""
        return iter(())

    def forecast(self, io: RunIO, workers: int) -> list[str]:
        """For a dry run: what all parts will take and give, in lines for a person, from a sample of what the parts are
        made of. What it writes is thrown away."""
        return []


class PlannerStage(MapStage):
    """A map over slices of the source: without inputs, each part is what its slice says."""

    unused: Mapping[str, int] = MappingProxyType({})
    """How much of the source no part was made of, by what it is; known once it is planned."""

    @abstractmethod
    def plan(self, files: Files, part_size: int) -> list[Slice]:
        """All parts of the source, in its order. Raises UserError."""

    def understood(self, pieces: Sequence[Slice]) -> dict[str, Any]:
        """What was found out about the source while planning, and belongs in the section of the config."""
        return {}

    def describe(self, files: Files, pieces: Sequence[Slice]) -> Iterator[str]:
        """What was understood of the source, in lines for a person; nothing is written."""
        return iter(())


class ReduceStage(MapStage):
    """A map stage whose parts are merged into one result once all of them are committed."""

    merged: ClassVar[
        tuple[Output, ...]
    ] = ()  # folders that `merge` alone writes, e.g. a report or a list of duplicates
    merge_depends_on: ClassVar[tuple[str, ...] | None] = None  # as `depends_on`; None: on what the parts depend on

    @abstractmethod
    def merge(self, io: RunIO) -> dict[str, Any]:
        """Write the result; returns notes for the commit record. Much work is cut into blocks: see `RunIO`."""

    @classmethod
    def merge_needs(cls, config: Config) -> Needs:
        return cls.needs(config)

    @classmethod
    def all_outputs(cls) -> tuple[Output, ...]:
        return (*cls.outputs, *cls.merged)

    @classmethod
    def merge_settings(cls, config: Config) -> dict[str, Any]:
        """What enters the fingerprint of the merged result beside the parts."""
        if cls.merge_depends_on is None:
            return cls.settings(config)
        return {**settings_of(config, cls.merge_depends_on), **cls.merge_digests(config)}

    @classmethod
    def merge_digests(cls, config: Config) -> dict[str, Any]:
        """What enters it beside the config's own values."""
        return {}


class JobStage(Stage):
    """One result of all parts."""

    @abstractmethod
    def run_job(self, io: RunIO) -> dict[str, Any]:
        """Make the result; returns notes for the commit record. An interrupted job finds the files that it had made."""

    def forecast(self, io: RunIO) -> list[str]:
        """For a dry run: what the job will take, in lines for a person. What it writes is thrown away."""
        return []


class RankedJobStage(JobStage):
    """A job that `needs(config).ranks` processes make together; torch's process group is there when they start."""

    @abstractmethod
    def run_rank(self, io: RunIO, rank: int, world: int) -> dict[str, Any]:
        """The share of one process; what the first one returns is the job's."""

    def run_job(self, io: RunIO) -> dict[str, Any]:
        return self.run_rank(io, 0, 1)


def reject_rows(stage: str, rows: Iterable[tuple[str, str, RowError]]) -> pa.Table:
    """The rejects table of (key, source_id, error) rows."""
    from schemas.tables import RejectTable

    rejects = [Reject(key, source_id, stage, error.reason, error.detail[:500]) for key, source_id, error in rows]
    return RejectTable.of_records(rejects).table
