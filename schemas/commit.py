"""The commit record: the proof that one part of one stage is finished, and what it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Counts:
    """Rows of one part in one stage: in = out + rejected + the sum of set_aside."""

    in_: int
    out: int
    rejected: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        return self.in_ == self.out + self.rejected + sum(self.set_aside.values())

    def with_set_aside(self, more: Mapping[str, int]) -> Counts:
        """With rows that came in and were set aside, by reason, before the stage saw them."""
        reasons = sorted({*self.set_aside, *more})
        set_aside = {reason: self.set_aside.get(reason, 0) + more.get(reason, 0) for reason in reasons}
        return replace(self, in_=self.in_ + sum(more.values()), set_aside=set_aside)

    def to_json(self) -> dict[str, Any]:
        return {"in": self.in_, "out": self.out, "rejected": self.rejected, "set_aside": dict(self.set_aside)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Counts:
        return cls(data["in"], data["out"], data["rejected"], dict(data["set_aside"]))


@dataclass(frozen=True)
class FileEntry:
    """A finished file, by its path relative to the run folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class CommitRecord:
    stage: str
    part: int  # 0 of a job, -1 of the result that a reduce stage merges
    fingerprint: str
    counts: Counts
    files: tuple[FileEntry, ...]
    seconds: float
    versions: dict[str, str]
    notes: dict[str, Any] = field(default_factory=dict)  # what the stage wants remembered, e.g. the batch plan

    @property
    def well_typed(self) -> bool:
        """Whether what was read from a file has the types that this class promises."""
        counts = self.counts
        numbers = [self.part, counts.in_, counts.out, counts.rejected, *counts.set_aside.values()]
        texts = [self.stage, self.fingerprint, *counts.set_aside, *self.versions.values()]
        texts += [text for entry in self.files for text in (entry.path, entry.sha256)]
        numbers += [entry.size for entry in self.files]
        whole = all(isinstance(number, int) for number in numbers) and all(isinstance(text, str) for text in texts)
        return whole and isinstance(self.seconds, (int, float)) and isinstance(self.notes, dict)

    def to_json(self) -> str:
        data = {
            "stage": self.stage,
            "part": self.part,
            "fingerprint": self.fingerprint,
            "counts": self.counts.to_json(),
            "files": [asdict(entry) for entry in self.files],
            "seconds": self.seconds,
            "versions": self.versions,
            "notes": self.notes,
        }
        return json.dumps(data, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> CommitRecord:
        """Raises ValueError (with what is wrong) for a text that is no commit record."""
        try:
            data = json.loads(text)
            record = cls(
                stage=data["stage"],
                part=data["part"],
                fingerprint=data["fingerprint"],
                counts=Counts.from_json(data["counts"]),
                files=tuple(FileEntry(**entry) for entry in data["files"]),
                seconds=data["seconds"],
                versions=data["versions"],
                notes=data.get("notes", {}),
            )
            if not record.well_typed:
                raise TypeError("a value of another type")
            return record
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a commit record: {error!r}") from error
