"""`phrasebox verify`: recount a run from its files, and name every part that does not add up.

For each part of each stage: the record is whole and agrees with its files (size, sha256), the counts are those of the
rows, the keys that went in are the keys that came out, were rejected or set aside, what was read is what is there now,
a side table has the rows of the dataset that it belongs to, and nothing lies about that no record speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.run.commits import record_path
from pipeline.run.part_rows import PartRows, Rows, common_keys
from pipeline.run.producers import Producer, folders_of
from pipeline.run.state import Inputs, RunState
from pipeline.run.target import MERGED, Target, part_target, result_of, target_of_path
from pipeline.storage.files import sha256_of
from schemas.commit import CommitRecord
from schemas.reasons import REJECTED, SET_ASIDE
from schemas.records import make_key
from stages.stage import JobStage, MapStage, PlannerStage, Stage


@dataclass(frozen=True)
class Problem:
    stage: str
    target: Target
    text: str

    def __str__(self) -> str:
        return f"{self.target.of(self.stage)}: {self.text}"


@dataclass(frozen=True)
class Verdict:
    checked: dict[str, int]  # stage: records looked at
    problems: list[Problem]


def verify(
    state: RunState, quick: bool = False, workers: int = 2, advance: Callable[[], None] = lambda: None
) -> Verdict:
    """`quick`: sizes and counts alone; no hashes, no keys."""
    check = _Check(state, quick)
    problems: list[Problem] = [*check.strays(), *check.results()]
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(check.part, check.parts()):
            problems += found
            advance()
    order = {stage.name: number for number, stage in enumerate(state.stages)}
    problems.sort(key=lambda problem: (order[problem.stage], problem.target, problem.text))
    checked = {stage.name: len(state.records(stage)) for stage in state.stages if state.records(stage)}
    return Verdict(checked, problems)


class _Check:
    def __init__(self, state: RunState, quick: bool) -> None:
        self.state = state
        self.quick = quick
        self.storage = state.storage
        self.map_stages = [stage for stage in state.stages if issubclass(stage, MapStage)]
        self.listed: dict[str, int] = {}
        self.stale: set[str] = set()  # stages whose result is not made from what is there now
        self.broken: set[str] = set()  # paths of files that are not as the results' records say
        for stage in state.stages:
            self.listed.update(state.listed(stage))
            state.records(stage)  # read once here, so that the threads below only look things up

    def parts(self) -> list[int]:
        known = {part for stage in self.map_stages for part, _ in self.state.records(stage).parts()}
        return sorted(known | set(self.state.plan))

    def part(self, part: int) -> list[Problem]:
        rows = PartRows(self.storage, part, self.quick, self.broken)
        problems: list[Problem] = []
        target = part_target(part)
        for stage in self.map_stages:
            record = self.state.records(stage).get(target)
            found = self._absent(stage, part) if record is None else self._recount(stage, part, record, rows)
            problems += [Problem(stage.name, target, text) for text in found]
        for producer in self.state.producers.values():
            if producer.by_result and self._is_compared(producer, part):
                found = rows.misaligned(producer.output, may_lack_rows=False)
                problems += [Problem(producer.stage.name, result_of(producer.stage), text) for text in found]
        return problems

    def _absent(self, stage: type[Stage], part: int) -> Iterator[str]:
        """A part without a record is no fault while the run is under way, unless later stages went on from it."""
        if part not in self.state.plan:
            return
        target = part_target(part)
        later: list[type[Stage]] = [
            other for other in self.map_stages if self._reads(other, stage) and target in self.state.records(other)
        ]
        later += [other for other in self.state.stages if other is stage and MERGED in self.state.records(other)]
        later += [other for other in self._jobs() if self._reads(other, stage) and self.state.records(other)]
        if later:
            yield f"no commit record, although {later[0].name} has gone on from it"

    def _jobs(self) -> list[type[Stage]]:
        return [stage for stage in self.state.stages if issubclass(stage, JobStage)]

    def _reads(self, reader: type[Stage], producer: type[Stage]) -> bool:
        return any(
            not item.optional and self.state.producer(item.dataset) is producer for item in self.state.inputs(reader)
        )

    # -- one record ------------------------------------------------------------------------------------------------

    def _recount(self, stage: type[MapStage], part: int, record: CommitRecord, rows: PartRows) -> Iterator[str]:
        if (record.stage, record.part) != (stage.name, part):
            yield f"the record is that of {record.stage}, part {record.part}"
            return
        if part not in self.state.plan:
            yield "is not in the plan (any more)"
            return
        broken = dict(self._broken_files(record))
        yield from broken.values()
        rows.broken.update(broken)
        stale = list(self._inputs_changed(stage, record, self.state.part_inputs(stage, part)))
        yield from [*stale, *_counts_add_up(record)]
        if broken:
            return
        yield from self._rows_agree(stage, part, record, rows)
        if not self.quick and not stale and self._readable(stage, rows):
            yield from stage.contradictions(rows, record)
        for folder in folders_of(self.state.producers, stage):
            producer = self.state.producers[folder]
            if not producer.by_result and not stale and self._is_compared(producer, part):
                yield from rows.misaligned(producer.output, may_lack_rows=True)

    def _readable(self, stage: type[MapStage], rows: PartRows) -> bool:
        """Whether the tables that the stage reads and writes are as their records say.

        Not those of a stage that is turned off: nobody reads them, and they may be older than what they were made from.
        """
        if not stage.enabled(self.state.config):
            return False
        needed = [item.dataset for item in stage.inputs if not item.optional and item.scope == "part"]
        return not {rows.path(name) for name in (*needed, *(output.folder for output in stage.outputs))} & rows.broken

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

    def _inputs_changed(self, stage: type[Stage], record: CommitRecord, current: Inputs | None) -> Iterator[str]:
        if not stage.enabled(self.state.config):
            return  # nobody reads it: it is brought up to date when it is turned on again
        recorded = record.notes.get("inputs", {})
        for dataset in sorted({*recorded, *(current or {})}):
            if current is None or recorded.get(dataset) != current.get(dataset):
                yield f"stale: {dataset} is not what it was made from"

    def _is_compared(self, producer: Producer, part: int) -> bool:
        """Whether a side table is held against its dataset: not while one of the two waits to be brought up to date."""
        theirs, stage = producer.output.aligned_with, producer.stage
        if theirs is None or stage.name in self.stale or not stage.enabled(self.state.config):
            return False
        target = result_of(stage) if producer.by_result else part_target(part)
        return part in self.state.plan and target in self.state.records(stage)

    def _rows_agree(self, stage: type[MapStage], part: int, record: CommitRecord, rows: PartRows) -> Iterator[str]:
        counts = record.counts
        needed = [item.dataset for item in stage.inputs if not item.optional and item.scope == "part"]
        tables = [table for dataset in needed if (table := rows.table(dataset)) is not None]
        rejects = rows.table(f"rejects/{stage.name}")
        written = None
        if stage.carries_rows:
            first = rows.table(stage.outputs[0].folder)
            written = rows.samples(record) if first is None else first
            yield from _differs("out", counts.out, written.count)
            yield from _differs("rejected", counts.rejected, rejects.count if rejects else 0)
        if any(rows.path(dataset) in rows.broken for dataset in needed):
            return  # named already; what came out of it cannot be judged by it
        planned = issubclass(stage, PlannerStage)
        if planned:
            piece = self.state.plan[part]
            more = counts.in_ - (piece.stop - piece.start)
            if piece.unit == "rows" and not (more > 0 and piece.extra.get("open_end")):
                yield from _differs("in", counts.in_, piece.stop - piece.start)
        elif self.quick:
            yield from _differs("in", counts.in_, min((table.count for table in tables), default=0))
        else:
            yield from _differs("in", counts.in_, len(common_keys(tables)))
        if not self.quick and stage.carries_rows:
            came = {make_key(part, row) for row in range(counts.in_)} if planned else common_keys(tables)
            yield from _keys_agree(record, came, written, rejects)
            yield from self._reasons_agree(stage, record, came, rows)

    def _reasons_agree(self, stage: type[Stage], record: CommitRecord, came: set[str], rows: PartRows) -> Iterator[str]:
        """What a side table does not keep is set aside for its reason."""
        for item in self.state.inputs(stage):
            if item.keep and record.notes.get("inputs", {}).get(item.dataset):
                for reason, count in rows.not_kept(item.dataset, came).items():
                    if record.counts.set_aside.get(reason, 0) < count:
                        yield f"{item.dataset} sets {count} rows aside as {reason}, the record fewer"

    # -- results and strays ------------------------------------------------------------------------------------------

    def results(self) -> Iterator[Problem]:
        """The merged results of stages, and the jobs."""
        for stage in self.state.stages:
            target = result_of(stage)
            record = self.state.records(stage).get(target)
            if record is None:
                continue
            stale = list(self._inputs_changed(stage, record, self.state.result_inputs(stage)))
            if stale:
                self.stale.add(stage.name)
            broken = dict(self._broken_files(record))
            self.broken.update(broken)
            for text in [*broken.values(), *stale, *_counts_add_up(record)]:
                yield Problem(stage.name, target, text)

    def strays(self) -> Iterator[Problem]:
        """Files that no record speaks of, and records that cannot be read."""
        for stage in self.state.stages:
            records = self.state.records(stage)
            for path in self.storage.list(f"commits/{stage.name}"):
                target = target_of_path(stage, path)
                if path not in {record_path(stage.name, target), record_path(stage.name, result_of(stage))}:
                    yield Problem(stage.name, target, f"{path} is no name of a commit record")
                elif target not in records:
                    yield Problem(stage.name, target, f"{path} is damaged")
            if issubclass(stage, JobStage) and self.storage.exists(f"state/jobs/{stage.name}"):
                continue  # under way: its files belong to no record yet
            spoken_of = {entry.path for record in records.values() for entry in record.files}
            for path in self.listed:
                if path not in spoken_of and self.state.owner(path) is stage and not path.endswith("/README.md"):
                    yield Problem(stage.name, target_of_path(stage, path), f"{path} belongs to no commit record")


def _differs(name: str, recorded: int, found: int) -> Iterator[str]:
    if recorded != found:
        yield f"the record says {name} = {recorded}, the files say {found}"


def _counts_add_up(record: CommitRecord) -> Iterator[str]:
    counts = record.counts
    if not counts.balanced:
        yield f"in = {counts.in_} is not out + rejected + set aside = {counts.to_json()}"
    if unknown := set(counts.set_aside) - set(SET_ASIDE):
        yield f"unknown reason codes: {', '.join(sorted(unknown))}"


def _keys_agree(record: CommitRecord, came: set[str], written: Rows | None, rejects: Rows | None) -> Iterator[str]:
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
