"""What a task makes: one part of a stage, the merged result of all its parts, or the one result of a job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from stages.stage import JobStage, Stage

RESULT = "result"
_PART = re.compile(r"^(?:part-)?(\d{7})\b")


@dataclass(frozen=True, order=True, slots=True)
class Target:
    """Sorted: a job or a merged result comes before the parts."""

    kind: Literal["job", "merged", "part"]
    part: int = 0

    @property
    def name(self) -> str:
        """Of its commit record, and of what is remembered when it fails; no two of one stage have the same."""
        return RESULT if self.kind == "merged" else f"part-{self.part:07d}"

    @property
    def recorded(self) -> int:
        """The number that stands for it in a commit record."""
        return -1 if self.kind == "merged" else self.part

    def __str__(self) -> str:
        return f"part {self.part}" if self.kind == "part" else RESULT

    def of(self, stage: str) -> str:
        """For messages: `label, part 7`; `audit, result`; a job goes by its stage's name."""
        return stage if self.kind == "job" else f"{stage}, {self}"


JOB = Target("job")
MERGED = Target("merged")


def part_target(number: int) -> Target:
    return Target("part", number)


def part_of_path(path: str) -> int | None:
    """The part that a file's name speaks of: `part-0000012.parquet` and `0000012-003.tar` give 12, others None."""
    found = _PART.match(path.rpartition("/")[2])
    return int(found[1]) if found else None


def target_of_path(stage: type[Stage], path: str) -> Target:
    """The target whose record, failure or file has this name."""
    if issubclass(stage, JobStage):
        return JOB
    part = part_of_path(path)
    return MERGED if part is None else part_target(part)


def result_of(stage: type[Stage]) -> Target:
    """What stands for all parts of a stage together: a job, or the merged result."""
    return JOB if issubclass(stage, JobStage) else MERGED
