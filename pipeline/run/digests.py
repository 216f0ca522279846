"""The digests of what stages read, part by part or for the whole run, as the commit records have them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.run.fingerprint import columns_digest, joined_digest
from pipeline.run.producers import Producer, Producers
from pipeline.run.record_index import Records
from pipeline.run.target import part_of_path, part_target, result_of
from pipeline.storage.base import Storage
from pipeline.storage.tables import read_parquet
from schemas.commit import CommitRecord
from schemas.records import part_name
from stages.stage import Input, Stage


@dataclass(frozen=True)
class Found:
    """What is there of an input. `digest` None: what was committed has no file of it."""

    digest: str | None
    committed: Literal["no", "partly", "yes"]

    def serves(self, item: Input) -> bool:
        """Whether a job may go on with it: half of a dataset is never enough, none of it only where that counts."""
        return self.committed == "yes" or (self.committed == "no" and item.need == "if_present")

    def serves_part(self, item: Input) -> bool:
        """The same for the task of one part, which needs the file itself."""
        return self.serves(item) and (self.digest is not None or item.need == "if_present")


NOTHING = Found(None, "no")


class Digests:
    """`records` gives those of a stage; `parts` are the numbers of the plan."""

    def __init__(
        self,
        storage: Storage,
        producers: Producers,
        records: Callable[[type[Stage]], Records],
        parts: Collection[int],
    ) -> None:
        self._storage = storage
        self._producers = producers
        self._records = records
        self._parts = parts
        self._of_run: dict[Input, Found] = {}
        self._results: dict[str, CommitRecord | None] = {}  # by stage; every part asks for the same one
        self._by_part: dict[str, dict[int, str]] = {}  # of the folders that results have files in for each part

    def forget(self) -> None:
        """Records have changed."""
        self._of_run.clear()
        self._results.clear()
        self._by_part.clear()

    def _record(self, producer: Producer, part: int) -> CommitRecord | None:
        """The record that speaks of a part of what the producer writes."""
        stage = producer.stage
        if not producer.by_result:
            return self._records(stage).get(part_target(part))
        if stage.name not in self._results:
            self._results[stage.name] = self._records(stage).get(result_of(stage))
        return self._results[stage.name]

    def look_up(self, item: Input, part: int) -> Found:
        """For one part's task: of this part of the dataset, or of the whole run."""
        return self.of_run(item) if item.scope == "run" else self.of_part(item, part)

    def of_part(self, item: Input, part: int) -> Found:
        producer = self._producers.get(item.dataset)
        if producer is None:
            return NOTHING
        record = self._record(producer, part)
        if record is None:
            return NOTHING
        return Found(self._digest(producer, record, item, part), "yes")

    def of_run(self, item: Input) -> Found:
        """An input counts when every part of it is committed, or the result that holds it."""
        if item not in self._of_run:
            self._of_run[item] = self._look_over(item)
        return self._of_run[item]

    def _look_over(self, item: Input) -> Found:
        producer = self._producers.get(item.dataset)
        if producer is None:
            return NOTHING
        if producer.by_result and producer.output.scope == "run":
            record = self._record(producer, 0)
            return NOTHING if record is None else Found(files_digest(record, item.dataset + "/"), "yes")
        found = [self.of_part(item, part) for part in self._parts]
        there = [entry for entry in found if entry.committed == "yes"]
        if len(there) < len(found):
            return Found(None, "partly" if there else "no")
        digests = [entry.digest for entry in there if entry.digest is not None]
        return Found(joined_digest(digests) if digests else None, "yes")

    # -- one part's files ------------------------------------------------------------------------------------------

    def _digest(self, producer: Producer, record: CommitRecord, item: Input, part: int) -> str | None:
        if item.columns:
            known = noted_digest(record, item, part if producer.by_result else None)
            return known or self._computed_digest(record, item, part)
        if not producer.by_result:
            return files_digest(record, item.dataset + "/")
        if item.dataset not in self._by_part:
            self._by_part[item.dataset] = _digests_by_part(record, item.dataset + "/")
        return self._by_part[item.dataset].get(part)

    def _computed_digest(self, record: CommitRecord, item: Input, part: int) -> str | None:
        """For records of before a stage asked for these columns."""
        path = f"{item.dataset}/{part_name(part)}"
        if not any(entry.path == path for entry in record.files):
            return None
        names = sorted({column.partition(".")[0] for column in item.columns})
        return columns_digest(read_parquet(self._storage, path, names), item.columns)


def digest_name(dataset: str, columns: Sequence[str]) -> str:
    """Under which a commit record notes the digest of some columns."""
    return f"{dataset}:{','.join(columns)}"


def noted_digest(record: CommitRecord, item: Input, part: int | None) -> str | None:
    """`part`: of which one, where the record is that of a result."""
    noted: Any = record.notes.get("digests", {}).get(digest_name(item.dataset, item.columns))
    found: str | None = noted if part is None or noted is None else noted.get(str(part))
    return found


def files_digest(record: CommitRecord, prefix: str) -> str | None:
    digests = [entry.sha256 for entry in record.files if entry.path.startswith(prefix)]
    return joined_digest(digests) if digests else None


def _digests_by_part(record: CommitRecord, prefix: str) -> dict[int, str]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for entry in record.files:
        part = part_of_path(entry.path)
        if part is not None and entry.path.startswith(prefix):
            found[part].append(entry.sha256)
    return {part: joined_digest(digests) for part, digests in found.items()}
