"""`phrasebox verify`: recount a run from its files, and name every part that does not add up.

For each part of each stage: the record is whole and agrees with its files (size, sha256), the counts are those of the
rows, the keys that went in are the keys that came out, were rejected or set aside, what was read is what is there now,
and nothing lies about that no record speaks of.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, BinaryIO

from pipeline.run.commits import RESULT, part_of_path, record_path
from pipeline.run.state import Inputs, RunState
from pipeline.storage.base import Storage
from pipeline.storage.files import sha256_of
from schemas.commit import CommitRecord
from schemas.reasons import REJECTED, SET_ASIDE
from schemas.records import make_key, part_name

_SAMPLE = re.compile(r"-(\d{12})\.json$")


@dataclass(frozen=True)
class Problem:
    stage: str
    part: int | None  # None: the merged result, or no single part
    text: str


@dataclass(frozen=True)
class Verdict:
    checked: dict[str, int]  # stage: records looked at
    problems: list[Problem]


def verify(
    state: RunState, quick: bool = False, workers: int = 2, advance: Callable[[], None] = lambda: None
) -> Verdict:
    """`quick`: sizes and counts alone; no hashes, no keys."""
    check = _Check(state, quick)
    problems: list[Problem] = list(check.strays())
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(check.part, check.parts()):
            problems += found
            advance()
    problems += check.results()
    order = {stage.name: number for number, stage in enumerate(state.stages)}
    problems.sort(
        key=lambda problem: (order[problem.stage], -1 if problem.part is None else problem.part, problem.text)
    )
    checked = {stage.name: len(state.records(stage)) for stage in state.stages if state.records(stage)}
    return Verdict(checked, problems)


class _Check:
    def __init__(self, state: RunState, quick: bool) -> None:
        self.state = state
        self.quick = quick
        self.storage = state.storage
        self.map_stages = [stage for stage in state.stages if stage.kind != "job"]
        self.listed: dict[str, int] = {}
        for stage in state.stages:
            self.listed.update(state.listed(stage))
            state.records(stage)  # read once here, so that the threads below only look things up

    def parts(self) -> list[int]:
        known = {part for stage in self.map_stages for part in self.state.records(stage) if part is not None}
        return sorted(known | set(self.state.plan))

    def part(self, part: int) -> list[Problem]:
        rows = _PartRows(self.storage, part, self.quick)
        problems: list[Problem] = []
        for stage in self.map_stages:
            record = self.state.records(stage).get(part)
            if record is None:
                problems += self._absent(stage, part)
            else:
                problems += [Problem(stage.name, part, text) for text in self._recount(stage, part, record, rows)]
        return problems

    def _absent(self, stage: type[Any], part: int) -> Iterator[Problem]:
        """A part without a record is no fault while the run is under way, unless later stages went on from it."""
        if part not in self.state.plan:
            return
        later = [other for other in self.map_stages if self._reads(other, stage) and part in self.state.records(other)]
        later += [other for other in self.state.stages if other is stage and None in self.state.records(other)]
        later += [other for other in self._jobs() if self._reads(other, stage) and self.state.records(other)]
        if later:
            yield Problem(stage.name, part, f"no commit record, although {later[0].name} has gone on from it")

    def _jobs(self) -> list[type[Any]]:
        return [stage for stage in self.state.stages if stage.kind == "job"]

    def _reads(self, reader: type[Any], producer: type[Any]) -> bool:
        return any(item.dataset in producer.outputs and not item.optional for item in reader.inputs)

    # -- one record ------------------------------------------------------------------------------------------------

    def _recount(self, stage: type[Any], part: int, record: CommitRecord, rows: _PartRows) -> Iterator[str]:
        if (record.stage, record.part) != (stage.name, part):
            yield f"the record is that of {record.stage}, part {record.part}"
            return
        if part not in self.state.plan:
            yield "is not in the plan (any more)"
            return
        broken = dict(self._broken_files(record))
        yield from broken.values()
        rows.broken.update(broken)
        yield from _inputs_changed(record, self.state.part_inputs(stage, part))
        yield from _counts_add_up(record)
        if not broken:
            yield from self._rows_agree(stage, part, record, rows)

    def _broken_files(self, record: CommitRecord) -> Iterator[tuple[str, str]]:
        """Path of each file that is not as recorded, and what is wrong with it."""
        for entry in record.files:
            size = self.listed.get(entry.path)
            if size is None:
                yield entry.path, f"{entry.path} is missing"
            elif size != entry.size:
                yield entry.path, f"{entry.path} has {size} bytes, the record says {entry.size}"
            elif not self.quick and sha256_of(self.storage, entry.path) != entry.sha256:
                yield entry.path, f"{entry.path} has changed (its sha256 is not the recorded one)"

    def _rows_agree(self, stage: type[Any], part: int, record: CommitRecord, rows: _PartRows) -> Iterator[str]:
        counts = record.counts
        needed = [item.dataset for item in stage.inputs if not item.optional]
        tables = [table for dataset in needed if (table := rows.table(dataset)) is not None]
        rejects = rows.table(f"rejects/{stage.name}")
        if stage.kind == "map":
            written = rows.samples(record) if rows.table(stage.outputs[0]) is None else rows.table(stage.outputs[0])
            yield from _differs("out", counts.out, written.count if written else 0)
            yield from _differs("rejected", counts.rejected, rejects.count if rejects else 0)
        else:
            written = None
        if any(rows.path(dataset) in rows.broken for dataset in needed):
            return  # named already; what came out of it cannot be judged by it
        if not stage.inputs:
            piece = self.state.plan[part]
            more = counts.in_ - (piece.stop - piece.start)
            if piece.unit == "rows" and not (more > 0 and piece.extra.get("open_end")):
                yield from _differs("in", counts.in_, piece.stop - piece.start)
        elif self.quick:
            yield from _differs("in", counts.in_, min((table.count for table in tables), default=0))
        else:
            yield from _differs("in", counts.in_, len(_common(tables)))
        if not self.quick and stage.kind == "map":
            came = _common(tables) if stage.inputs else {make_key(part, row) for row in range(counts.in_)}
            yield from _keys_agree(record, came, written, rejects)

    # -- results and strays ------------------------------------------------------------------------------------------

    def results(self) -> Iterator[Problem]:
        """The merged results of stages, and the jobs."""
        for stage in self.state.stages:
            part = 0 if stage.kind == "job" else None
            record = self.state.records(stage).get(part)
            if record is None:
                continue
            current = self.state.job_inputs(stage) if stage.kind == "job" else self.state.merge_inputs(stage)
            broken = dict(self._broken_files(record)).values()
            for text in [*broken, *_inputs_changed(record, current), *_counts_add_up(record)]:
                yield Problem(stage.name, part, text)

    def strays(self) -> Iterator[Problem]:
        """Files that no record speaks of, and records that cannot be read."""
        for stage in self.state.stages:
            records = self.state.records(stage)
            for path in self.storage.list(f"commits/{stage.name}"):
                part = part_of_path(path)
                if path not in {record_path(stage.name, part), record_path(stage.name, None)}:
                    yield Problem(stage.name, part, f"{path} is no name of a commit record")
                elif part not in records:
                    yield Problem(stage.name, part, f"{path} is damaged")
            if stage.kind == "job" and self.storage.exists(f"state/jobs/{stage.name}"):
                continue  # under way: its files belong to no record yet
            spoken_of = {entry.path for record in records.values() for entry in record.files}
            for path in self.listed:
                if path not in spoken_of and self.state.owner(path) is stage and not path.endswith("/README.md"):
                    yield Problem(stage.name, part_of_path(path), f"{path} belongs to no commit record")


@dataclass(frozen=True)
class _Rows:
    count: int
    keys: Sequence[str] = ()
    reasons: frozenset[str] = frozenset()


class _PartRows:
    """The rows of one part's files, each file read once."""

    def __init__(self, storage: Storage, part: int, quick: bool) -> None:
        self._storage = storage
        self._part = part
        self._quick = quick
        self._tables: dict[str, _Rows | None] = {}
        self.broken: set[str] = set()  # paths

    def path(self, dataset: str) -> str:
        return f"{dataset}/{part_name(self._part)}"

    def table(self, dataset: str) -> _Rows | None:
        if dataset not in self._tables:
            self._tables[dataset] = self._read(self.path(dataset))
        return self._tables[dataset]

    def _read(self, path: str) -> _Rows | None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = self._storage.read_or_none(path)
        if data is None:
            return None
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
            if self._quick or "key" not in file.schema_arrow.names:
                return _Rows(file.metadata.num_rows)
            columns = [name for name in ("key", "reason") if name in file.schema_arrow.names]
            table = file.read(columns=columns, use_threads=False)
        except (pa.ArrowException, OSError):
            return _Rows(0)  # its sha256 or its count says so too
        reasons = frozenset(table["reason"].to_pylist()) if "reason" in columns else frozenset()
        return _Rows(table.num_rows, table["key"].to_pylist(), reasons)

    def samples(self, record: CommitRecord) -> _Rows:
        """The samples in the tars of a part: one JSON member each, and the image beside it."""
        keys: list[str] = []
        for entry in record.files:
            if entry.path.endswith(".tar"):
                with self._storage.open(entry.path) as file:
                    keys += _sample_keys(file)
        return _Rows(len(keys), keys)


def _sample_keys(file: BinaryIO) -> list[str]:
    """Keys of the samples that have both members; one without its image counts as none."""
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            names = tar.getnames()
    except tarfile.TarError:
        return []
    stems = {name.rpartition(".")[0] for name in names if not name.endswith(".json")}
    return [found[1] for name in names if (found := _SAMPLE.search(name)) and name[: -len(".json")] in stems]


def _common(tables: Iterable[_Rows]) -> set[str]:
    """A row goes in when all tables that the stage reads have its key."""
    keys = [set(table.keys) for table in tables if table.keys or table.count == 0]
    return set.intersection(*keys) if keys else set()


def _differs(name: str, recorded: int, found: int) -> Iterator[str]:
    if recorded != found:
        yield f"the record says {name} = {recorded}, the files say {found}"


def _counts_add_up(record: CommitRecord) -> Iterator[str]:
    counts = record.counts
    if not counts.balanced:
        yield f"in = {counts.in_} is not out + rejected + set aside = {counts.to_json()}"
    if unknown := set(counts.set_aside) - set(SET_ASIDE):
        yield f"unknown reason codes: {', '.join(sorted(unknown))}"


def _inputs_changed(record: CommitRecord, current: Inputs | None) -> Iterator[str]:
    recorded = record.notes.get("inputs", {})
    for dataset in sorted({*recorded, *(current or {})}):
        if current is None or recorded.get(dataset) != current.get(dataset):
            yield f"stale: {dataset} is not what it was made from"


def _keys_agree(record: CommitRecord, came: set[str], written: _Rows | None, rejects: _Rows | None) -> Iterator[str]:
    out = list(written.keys) if written else []
    gone = list(rejects.keys) if rejects else []
    if len(set(out)) < len(out) or len(set(gone)) < len(gone) or set(out) & set(gone):
        yield "a key comes out more than once"
    if out != sorted(out):
        yield "keys are out of order"
    if strange := (set(out) | set(gone)) - came:
        yield f"{len(strange)} keys came out that did not go in, e.g. {min(strange)}"
    lost = len(came - set(out) - set(gone))
    if lost != sum(record.counts.set_aside.values()):
        yield f"{lost} keys neither came out nor were rejected; {sum(record.counts.set_aside.values())} were set aside"
    if rejects and (unknown := rejects.reasons - set(REJECTED)):
        yield f"unknown reason codes: {', '.join(sorted(unknown))}"


def label(problem: Problem) -> str:
    where = RESULT if problem.part is None else f"part {problem.part}"
    return f"{problem.stage}, {where}: {problem.text}"
