"""A dry run says what a run would make, and writes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from side_toys import ON, SIDE_PROJECT
from toy_runs import data_files, make_config, run_toys
from toys import PROJECT, ToyPhrases, ToyTrain

from pipeline.run.dry_run import dry_run
from pipeline.run.plan import read_plan
from pipeline.run.runner import Selection
from pipeline.run.state import RunState
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.stage import RunIO, Stage
from tests.pipeline.side_runs import side_config
from tests.pipeline.side_runs import state_of as side_state


def state_of(config: Config, stages: Sequence[type[Stage]] = PROJECT) -> RunState:
    storage = open_storage(config.run)
    return RunState(storage, stages, config, read_plan(storage))


def test_before_during_and_after_a_run(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    config = make_config(run, source)
    run_toys(config, stages=("ingest",))
    before = data_files(run)
    lines = [" ".join(line.split()) for line in dry_run(state_of(config), Selection(PROJECT), 2)]
    assert lines == [
        "5 parts, 13 pairs in the plan",
        "ingest done",
        "phrases 5 parts, 13 pairs to make, at an unknown rate",
        "shard 5 parts, 13 pairs to make, at an unknown rate",
        "train to be made",
        "about 0.0 h with 2 workers, without phrases, shard: no rate is known yet",
    ]
    assert data_files(run) == before
    run_toys(config)
    lines = [" ".join(line.split()) for line in dry_run(state_of(config), Selection(PROJECT), 2)]
    assert lines[1:] == ["ingest done", "phrases done", "shard done", "train done", "about 0.0 h with 2 workers"]


def test_hours_are_those_of_the_parts_made_before(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    state = state_of(config)
    for target, record in list(state.records(ToyPhrases).items()):
        state.add(ToyPhrases, target, type(record)(**{**vars(record), "seconds": 3600.0 * record.counts.in_}))
    lines = dry_run(state, Selection([ToyPhrases], parts=frozenset({0, 1}), force=True), 4)
    pairs = sum(state.plan[part].stop - state.plan[part].start for part in (0, 1))
    assert lines[1].split(maxsplit=1) == ["phrases", f"2 parts, {pairs} pairs to make, about {pairs / 4:.2f} h"]
    assert lines[2] == f"about {pairs / 4:.1f} h with 4 workers"


def test_it_knows_what_follows_from_what(good: Path, tmp_path: Path) -> None:
    run = shutil.copytree(good, tmp_path / "run")

    def plan(**settings: Any) -> dict[str, str]:
        config = side_config(run, good.parent / "pairs", **settings)
        chosen = [stage for stage in SIDE_PROJECT if stage.enabled(config)]
        lines = dry_run(side_state(config), Selection(chosen), 1)
        return {line.split()[0]: " ".join(line.split()[1:]).partition(",")[0] for line in lines[1:-1]}

    assert set(plan(**ON).values()) == {"done"} and "score" in plan(**ON)
    assert "score" not in plan() and plan()["phrases"] == "2 parts" and plan()["train"] == "to be made"
    changed = plan(**{**ON, "score": {"on": True, "factor": 3.0}})
    assert (changed["count"], changed["score"], changed["shard"]) == ("done", "2 parts", "2 parts")
    (run / "commits/winnow/part-0000001.json").unlink()
    assert plan(**ON)["phrases"] == "2 parts" and plan(**ON)["count"] == "to be made"  # one part, read by all


class Foretold(ToyTrain):
    """Says what it finds of its own and of others, once it has written something."""

    def forecast(self, io: RunIO) -> list[str]:
        with io.create("student/tried") as stream:
            stream.write(b"a try")
        with io.open("student/tried") as stream:
            tried = stream.read().decode()
        shards = io.files("shards")
        with io.open(shards[0]) as stream:
            assert stream.read()
        found = [f"{tried}, {len(shards)} in shards, {', '.join(io.files('student'))}"]
        io.delete(shards[0])
        io.delete("student/tried")
        return [*found, f"{len(io.files('student'))} left"]


FORETOLD = [Foretold if stage is ToyTrain else stage for stage in PROJECT]


def foretold(config: Config) -> list[str]:
    lines = dry_run(state_of(config, FORETOLD), Selection([Foretold]), 1)
    return [" ".join(line.split()) for line in lines][1:]


def test_a_job_says_what_it_will_take_and_nothing_is_written(tmp_path: Path, source: Path) -> None:
    """Only where it is due, and with what the run has by then."""
    run = tmp_path / "run"
    config = make_config(run, source)
    run_toys(config, stages=("ingest", "phrases", "shard"))
    shards = len(data_files(run / "shards"))
    before = data_files(run)
    assert foretold(config)[:3] == ["train to be made", f"a try, {shards} in shards, student/tried", "0 left"]
    assert data_files(run) == before
    run_toys(config)
    assert foretold(config)[0] == "train done" and "in shards" not in foretold(config)[1]


def test_a_forecast_sees_only_what_the_job_would_go_on_from(tmp_path: Path, source: Path) -> None:
    run = tmp_path / "run"
    config = make_config(run, source)
    run_toys(config, stages=("ingest", "phrases", "shard"))
    (run / "student").mkdir()
    (run / "student/checkpoint").write_bytes(b"of another training")
    assert foretold(config)[1].endswith("in shards, student/tried")
    task = state_of(config, FORETOLD).result_task(Foretold)
    assert task is not None
    (run / "state/jobs").mkdir(parents=True, exist_ok=True)
    (run / "state/jobs/train").write_text(task.fingerprint)
    assert foretold(config)[1].endswith("in shards, student/checkpoint, student/tried")


class ForetoldPhrases(ToyPhrases):
    """Says which parts it can look into, and for how many workers."""

    def forecast(self, io: RunIO, workers: int) -> list[str]:
        with io.scratch.create("tried") as file:
            file.write(b"a try")
        pairs = sum(io.read_part("pairs", part).num_rows for part in io.parts())
        return [f"{len(io.parts())} parts of {pairs} pairs, {workers} workers"]


FORETOLD_PHRASES: list[type[Stage]] = [ForetoldPhrases if stage is ToyPhrases else stage for stage in PROJECT]


def test_a_map_stage_says_what_a_sample_tells(tmp_path: Path, source: Path) -> None:
    """From the parts whose inputs are there, as long as anything is to be made."""
    run = tmp_path / "run"
    config = make_config(run, source)

    def foretold_phrases() -> list[str]:
        lines = dry_run(state_of(config, FORETOLD_PHRASES), Selection([ForetoldPhrases]), 3)
        return [" ".join(line.split()) for line in lines][2:-1]

    run_toys(config, stages=("ingest",), parts={1, 2})
    before = data_files(run)
    assert foretold_phrases() == [
        "estimated from the 2 parts whose inputs are there",
        "2 parts of 6 pairs, 3 workers",
    ]
    run_toys(config, stages=("ingest",))
    assert foretold_phrases() == ["5 parts of 11 pairs, 3 workers"]
    assert before.items() <= data_files(run).items() and not (run / "state/scratch").exists()
    run_toys(config, project=FORETOLD_PHRASES, stages=("ingest", "phrases"))
    assert foretold_phrases() == []
    (run / "commits/ingest").rename(run / "commits/away")
    assert foretold_phrases() == [
        "no estimate: phrases needs pairs/, which is not there for part 0; run `phrasebox ingest` first"
    ]
