"""What is due follows from records, settings and files; tasks name what they need and what they replace."""

from __future__ import annotations

from pathlib import Path

import pytest
from side_toys import ON
from toy_runs import make_config, run_toys
from toys import PROJECT, ToyIngest, ToyPhrases, ToyShard, ToyTrain

from pipeline.run.plan import read_plan
from pipeline.run.state import RunState
from pipeline.run.target import JOB, MERGED, part_target
from pipeline.storage.open import open_storage
from schemas.config import Config
from stages.stage import Input
from tests.pipeline.side_runs import make, side_config
from tests.pipeline.side_runs import state_of as side_state


def state_of(config: Config) -> RunState:
    storage = open_storage(config.run)
    return RunState(storage, PROJECT, config, read_plan(storage))


def test_a_task_waits_for_what_it_reads(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config, stages=("ingest",))
    state = state_of(config)
    task = state.part_task(ToyPhrases, 2)
    assert task is not None and task.target == part_target(2) and task.slice is None
    assert set(task.inputs) == {"pairs"} and None not in task.inputs.values()
    assert task.digests == (("phrases", ("key", "phrases.start", "phrases.text")),)  # what ToyShard depends on
    assert state.part_task(ToyShard, 2) is None and state.result_task(ToyTrain) is None
    again = state.part_task(ToyIngest, 2)
    assert again is not None and again.slice == state.plan[2]


@pytest.mark.parametrize("what", ["record", "file", "cut", "settings"])
def test_a_part_is_due_when_anything_of_it_does_not_hold(tmp_path: Path, source: Path, what: str) -> None:
    run, settings = tmp_path / "run", {}
    run_toys(make_config(run, source))
    if what == "record":
        (run / "commits/phrases/part-0000001.json").unlink()
    elif what == "file":
        (run / "phrases/part-0000001.parquet").unlink()
    elif what == "cut":
        (run / "phrases/part-0000001.parquet").write_bytes(b"")
    else:
        settings["phrases__max_words"] = 2
    state = state_of(make_config(run, source, **settings))
    due = []
    for part in state.plan:
        task = state.part_task(ToyPhrases, part)
        assert task is not None
        due += [part] * state.is_due(ToyPhrases, task, state.listed(ToyPhrases))
    assert due == ([0, 1, 2, 3, 4] if what == "settings" else [1])


def test_a_result_names_the_files_that_it_replaces(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    state = state_of(config)
    merged, job = state.result_task(ToyShard), state.result_task(ToyTrain)
    assert merged is not None and job is not None and (merged.target, job.target) == (MERGED, JOB)
    assert merged.stale == ("commits/shard/result.json", "shards/index.json")
    assert job.stale == ("commits/train/part-0000000.json", "student/weights")
    assert set(merged.inputs) == {"shard"} and set(job.inputs) == {"shards"}


def test_a_merge_waits_for_all_parts(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    state = state_of(config)
    state.drop(ToyShard, part_target(3))
    assert state.result_inputs(ToyShard) is None and state.result_task(ToyShard) is None
    assert state.part_inputs(ToyShard, 3) is not None


def test_a_new_record_changes_what_comes_after_it(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    state = state_of(config)
    before = state.result_task(ToyTrain)
    record = state.records(ToyShard)[part_target(0)]
    state.drop(ToyShard, part_target(0))
    assert state.result_task(ToyTrain) is None  # its input is half there
    state.add(ToyShard, part_target(0), record)
    assert state.result_task(ToyTrain) == before


def test_what_the_plan_no_longer_has_is_left_over_records_first(tmp_path: Path, source: Path) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    state = state_of(config)
    assert list(state.left_over()) == []
    del state.plan[4]
    assert [path for path in state.left_over() if "phrase" in path] == [
        "commits/phrases/part-0000004.json",
        "phrases/part-0000004.parquet",
        "rejects/phrases/part-0000004.parquet",
    ]


def test_what_is_turned_off_is_read_by_nobody(tmp_path: Path, pairs: Path) -> None:
    run = tmp_path / "run"
    make(side_config(run, pairs, **ON))
    on, off = side_state(side_config(run, pairs, **ON)), side_state(side_config(run, pairs))
    shard = on.stages[5]
    assert [item.dataset for item in on.inputs(shard)] == ["pairs", "phrases", "scores"]
    assert [item.dataset for item in off.inputs(shard)] == ["pairs", "phrases"]
    assert on.is_on("scores") and not off.is_on("scores") and not on.is_on("gold")
    merged = off.result_task(shard)
    assert merged is not None
    assert set(merged.turned_off) >= {"curation", "counts", "lengths", "scores"}
    assert Input("scores") not in off.inputs(shard)


def test_what_people_write_makes_a_result_due_where_it_counts(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path / "run", source)
    run_toys(config)
    before = state_of(config).result_task(ToyTrain)
    monkeypatch.setattr(ToyTrain, "written_by_people", classmethod(lambda cls, config: ("reviews",)))
    assert state_of(config).result_task(ToyTrain) == before  # nothing is written: what was made stands
    seen = {before.fingerprint} if before is not None else set()
    for text in ("one line\n", "one line\ntwo\n"):
        (tmp_path / "run/reviews").mkdir(exist_ok=True)
        (tmp_path / "run/reviews/ann.jsonl").write_text(text)
        task = state_of(config).result_task(ToyTrain)
        assert task is not None and task.fingerprint not in seen and "reviews" in task.inputs
        seen.add(task.fingerprint)
    monkeypatch.undo()
    assert state_of(config).result_task(ToyTrain) == before
