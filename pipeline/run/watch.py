"""`phrasebox status --watch`: one screen of a run that is under way, from its records, heartbeats and rejects."""

from __future__ import annotations

import shutil
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline.run.failures import failures
from pipeline.run.progress import clock
from pipeline.run.record_index import COUNTS, counts_row, look_up
from pipeline.run.status import RunStatus, StageStatus, attempts, run_status
from pipeline.storage.base import Storage
from pipeline.storage.tables import read_parquet
from schemas.config import Config
from schemas.records import part_name
from stages.stage import JobStage, MapStage, Stage

WINDOW = 60.0  # seconds over which a rate is measured
MOST_REASONS = 6  # of rejects, on the screen


class Work(NamedTuple):
    """Of a stage, in pairs; of a job, in its own steps."""

    done: int
    expected: float  # 0: not known


def part_work(stage: StageStatus, beats: Sequence[dict[str, Any]], usual: float) -> Work:
    """Parts to come are as large as those before or, as long as there are none, as `usual`."""
    each = stage.pairs_in / stage.done if stage.done else usual
    return Work(stage.pairs_in + sum(beat["done"] for beat in beats), each * stage.parts)


def job_work(beats: Sequence[dict[str, Any]]) -> Work:
    return Work(sum(beat["done"] for beat in beats), sum(beat["total"] for beat in beats))


class Watch:
    """Looks at a run again and again. Rejects of a part are read once."""

    def __init__(self, storage: Storage, project: Sequence[type[Stage]], config: Config) -> None:
        self._storage, self._project, self._config = storage, project, config
        self._seen: dict[str, deque[tuple[float, int]]] = {}  # by stage: when, and how many pairs were done then
        self._rejects: dict[tuple[str, int, int], Counter[str]] = {}  # by stage, part and how many

    def look(self, now: float) -> tuple[RunStatus, list[str]]:
        """The state, and the screen's lines. `now`: seconds of a clock that never goes back."""
        found = run_status(self._storage, self._project, self._config)
        beats = attempts(self._storage) if found.running else []
        lines = [f"{found.root}: " + (f"running ({found.running})" if found.running else "not running"), ""]
        usual = 0.0  # pairs of a part, by the stage before
        for kind, stage in zip(self._project, found.stages, strict=True):
            if stage.enabled or stage.done:
                own = [beat for beat in beats if beat["stage"] == stage.stage]
                is_job = issubclass(kind, JobStage)
                lines.append(self._line(stage, job_work(own) if is_job else part_work(stage, own, usual), is_job, now))
                usual = stage.pairs_out / stage.done if stage.done and not is_job else usual
        return found, [*lines, "", *self._rejected(), *self._last_failure(), *self._disk()]

    def _line(self, stage: StageStatus, work: Work, is_job: bool, now: float) -> str:
        words = [f"{stage.done:,}/{stage.parts:,} {'done' if is_job else 'parts'}"]
        rate = self._rate(stage.stage, work.done, now)
        if work.done:
            of = f"/{work.expected:,.0f} steps" if work.expected else " steps"
            words.append(f"{work.done:,}{of if is_job else ' pairs'}")
        if rate:
            words.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if rate and work.expected and stage.done < stage.parts:
            words.append(f"{clock(max(work.expected - work.done, 0) / rate)} left")
        if stage.failed:
            words.append(f"{len(stage.failed):,} failed")
        return f"  {stage.stage:9} " + ", ".join(words)

    def _rate(self, stage: str, done: int, now: float) -> float:
        """Pairs or steps a second over the last WINDOW; a count that goes back begins again."""
        seen = self._seen.setdefault(stage, deque())
        if seen and done < seen[-1][1]:
            seen.clear()
        seen.append((now, done))
        while now - seen[0][0] > WINDOW:
            seen.popleft()
        seconds = now - seen[0][0]
        return max(done - seen[0][1], 0) / seconds if seconds else 0.0

    def _rejected(self) -> list[str]:
        reasons = Counter[str]()
        for stage in self._project:
            if issubclass(stage, MapStage) and stage.enabled(self._config):
                table, newer = look_up(self._storage, stage.name, COUNTS)
                rows = {row["part"]: row["rejected"] for row in table.select(["part", "rejected"]).to_pylist()}
                rows |= {part: counts_row(part, record)["rejected"] for part, record in newer.items()}
                for part, number in rows.items():
                    reasons.update(self._reasons(stage.name, part, number) if number else ())
        if not reasons:
            return ["rejected  nothing"]
        listed = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common(MOST_REASONS))
        return [f"rejected  {reasons.total():,}: {listed}" + (", ..." if len(reasons) > MOST_REASONS else "")]

    def _reasons(self, stage: str, part: int, number: int) -> Counter[str]:
        if (stage, part, number) not in self._rejects:
            table = read_parquet(self._storage, f"rejects/{stage}/{part_name(part)}", ["reason"])
            self._rejects[stage, part, number] = Counter(table["reason"].to_pylist())
        return self._rejects[stage, part, number]

    def _last_failure(self) -> list[str]:
        found = [failure for stage in self._project for failure in failures(self._storage, stage).values()]
        latest = sorted(found, key=lambda failure: failure.time)[-1:]
        return [f"failed    {failure.where}: {failure.error}" for failure in latest]

    def _disk(self) -> list[str]:
        if not self._storage.local:
            return []
        usage = shutil.disk_usage(self._storage.root)
        return [f"disk      {usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} GB"]
